package packet

// The exported functions of the codec; their bodies follow in one file a
// packet type.

var errUnfinished = &Error{Reason: ImplementationSpecificError, Detail: "codec body is not in place yet"}

// Split finds the first whole packet in buf.
func Split(buf []byte, max int) (f Frame, size int, err error) { return Frame{}, 0, errUnfinished }

// Need returns the bytes of the whole packet if the fixed header is complete, else 0.
func Need(buf []byte) int { return 0 }

// DecodeConnect decodes CONNECT.
func DecodeConnect(f Frame, c *Connect) error { return errUnfinished }

// DecodeConnack decodes CONNACK.
func DecodeConnack(f Frame, v Version, c *Connack) error { return errUnfinished }

// DecodePublish decodes PUBLISH.
func DecodePublish(f Frame, v Version, p *Publish) error { return errUnfinished }

// DecodeAck decodes PUBACK, PUBREC, PUBREL and PUBCOMP.
func DecodeAck(f Frame, v Version, a *Ack) error { return errUnfinished }

// DecodeSubscribe decodes SUBSCRIBE.
func DecodeSubscribe(f Frame, v Version, s *Subscribe) error { return errUnfinished }

// DecodeSuback decodes SUBACK and UNSUBACK.
func DecodeSuback(f Frame, v Version, s *Suback) error { return errUnfinished }

// DecodeUnsubscribe decodes UNSUBSCRIBE.
func DecodeUnsubscribe(f Frame, v Version, u *Unsubscribe) error { return errUnfinished }

// DecodeDisconnect decodes DISCONNECT.
func DecodeDisconnect(f Frame, v Version, d *Disconnect) error { return errUnfinished }

// DecodeAuth decodes AUTH.
func DecodeAuth(f Frame, v Version, a *Auth) error { return errUnfinished }

// DecodePing checks PINGREQ and PINGRESP.
func DecodePing(f Frame) error { return errUnfinished }

// AppendConnect encodes CONNECT.
func AppendConnect(dst []byte, c *Connect) []byte { return dst }

// AppendConnack encodes CONNACK.
func AppendConnack(dst []byte, v Version, c *Connack) []byte { return dst }

// AppendPublish encodes PUBLISH.
func AppendPublish(dst []byte, v Version, p *Publish) []byte { return dst }

// AppendAck encodes PUBACK, PUBREC, PUBREL and PUBCOMP.
func AppendAck(dst []byte, v Version, a *Ack) []byte { return dst }

// AppendSubscribe encodes SUBSCRIBE.
func AppendSubscribe(dst []byte, v Version, s *Subscribe) []byte { return dst }

// AppendSuback encodes SUBACK.
func AppendSuback(dst []byte, v Version, s *Suback) []byte { return dst }

// AppendUnsuback encodes UNSUBACK.
func AppendUnsuback(dst []byte, v Version, s *Suback) []byte { return dst }

// AppendUnsubscribe encodes UNSUBSCRIBE.
func AppendUnsubscribe(dst []byte, v Version, u *Unsubscribe) []byte { return dst }

// AppendDisconnect encodes DISCONNECT.
func AppendDisconnect(dst []byte, v Version, d *Disconnect) []byte { return dst }

// AppendAuth encodes AUTH.
func AppendAuth(dst []byte, v Version, a *Auth) []byte { return dst }

// AppendPingreq encodes PINGREQ.
func AppendPingreq(dst []byte) []byte { return dst }

// AppendPingresp encodes PINGRESP.
func AppendPingresp(dst []byte) []byte { return dst }

// PublishSize returns the exact bytes of the whole PUBLISH.
func PublishSize(v Version, p *Publish) int { return 0 }

// PublishIDOffset returns where the packet id stands in an encoded PUBLISH with QoS > 0.
func PublishIDOffset(encoded []byte) int { return 0 }

// ReturnCode maps a reason to the CONNACK return code of MQTT 3.x.
func ReturnCode(r ReasonCode) byte { return 0 }
