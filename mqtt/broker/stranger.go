package broker

import (
	"errors"

	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
)

// strangers are those that often meet a listener that is not meant for them, by the
// bytes that they begin with. None of these begins a CONNECT.
var strangers = []struct{ begin, hint string }{
	{"\x16\x03", "the client speaks TLS, and this listener does not: give it the port of a listener.ssl or listener.wss"},
	{"PROXY ", proxyHint},
	{"\r\n\r\n\x00\r\nQUIT\n", proxyHint},
	{"GET ", httpHint},
	{"HEAD ", httpHint},
	{"POST ", httpHint},
	{"OPTIONS ", httpHint},
	{"CONNECT ", httpHint},
}

const (
	proxyHint = "a header of the PROXY protocol came first: set proxy_protocol = on for this listener, or have the proxy send none"
	httpHint  = "the client speaks HTTP: for MQTT over WebSocket give it the port of a listener.ws, for a check of health that of the HTTP API"
)

// strange says why the first bytes of a connection can never be a CONNECT, which has
// to come first ([MQTT-3.1.0-1]); "" if they can, or if there are too few to tell. Who
// waits for the whole of a packet that such bytes seem to announce waits for long, and
// cannot say what was wrong.
func strange(data []byte) string {
	for _, s := range strangers {
		n := min(len(data), len(s.begin))
		switch same := string(data[:n]) == s.begin[:n]; {
		case same && n < strangeMin:
			return ""
		case same:
			return s.hint
		}
	}
	if len(data) == 0 || packet.Type(data[0]>>4) == packet.TypeConnect {
		return ""
	}
	return errStrange.Error()
}

// strangeMin is how many bytes tell the strangers from each other.
const strangeMin = 2

// turnAway closes a connection on which something else than MQTT came.
func (p *peer) turnAway(why string) error {
	p.b.count.closed[closeProtocol].Inc()
	p.logClose(&session.Close{Reason: packet.ProtocolError, Detail: why})
	return errStrange
}

var errStrange = errors.New("first packet is not CONNECT")
