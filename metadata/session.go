package metadata

import (
	"bytes"
	"math"

	"tombolo/internal/pack"
)

// ClientKey names a client: ids are unique within a mountpoint.
type ClientKey struct {
	Mountpoint string
	ClientID   string
}

// append is the key of a session: mountpoint, 0x00, client id. Neither holds
// U+0000, so that the keys of a mountpoint stand together and split one way.
func (k ClientKey) append(dst []byte) []byte {
	dst = append(dst, k.Mountpoint...)
	dst = append(dst, 0)
	return append(dst, k.ClientID...)
}

func parseClientKey(key []byte) (ClientKey, bool) {
	mountpoint, id, ok := bytes.Cut(key, []byte{0})
	return ClientKey{Mountpoint: string(mountpoint), ClientID: string(id)}, ok
}

// Session is the durable record of one session. As a register it is won by the
// higher Epoch, then by the later write; Floor, Ended and WillFired are merged by
// maximum, apart from who wins (R18, R29).
type Session struct {
	Home           uint64 // node id
	Epoch          Epoch  // raised by every grant (R17)
	Floor          Epoch  // the epoch of the last clean start
	Ended          Epoch  // void as soon as Epoch is higher
	Connects       uint32 // connect counter (R19)
	Expiry         uint32 // seconds; 0xFFFFFFFF never
	DisconnectedAt int64  // unix ms; 0 connected
	CleanStart     bool
	Will           *Will // nil: none
	WillFired      Epoch // of the last will that was published
	Version        uint8 // protocol level of the last connection
	Username       string
	From           uint64 // the home before this one, where what was spooled for the session may be addressed to; 0: none
	Blocks         uint8  // of packet ids: a bit for each in which something may be outstanding at the client (R19)
	BlocksLost     uint8  // those of which no home knows what

	extra extra
}

// Over reports whether the session has ended: an end is void as soon as a higher
// epoch exists (R18).
func (s *Session) Over() bool { return !s.Ended.IsZero() && !s.Ended.Less(s.Epoch) }

// Will is the message that a session leaves behind.
type Will struct {
	Topic        string
	Payload      []byte
	QoS          uint8
	Retain       bool
	DelaySeconds uint32
	Properties   []byte // encoded by the protocol layer, opaque here
	At           int64  // unix ms when it is due; 0 not armed
	Epoch        Epoch  // of the connection that left it; zero: that of the session
}

// WillPending reports whether the session has a will that was not published
// (R29). What was published is told by the epoch of the connection that left it,
// since the session's rises when it moves without its client.
func (v *Session) WillPending() bool {
	return v.Will != nil && v.WillFired.Less(v.WillEpoch())
}

// WillEpoch is the epoch of the connection that left the will.
func (v *Session) WillEpoch() Epoch {
	if v.Will == nil || v.Will.Epoch.IsZero() {
		return v.Epoch
	}
	return v.Will.Epoch
}

// sessionFields are the fields that every record has; later ones follow.
const (
	sessionFields      = 12
	sessionFieldsLater = 2
)

// appendSession is the codec of Session; the layout is drawn in
// docs/formats/metadata.md.
func appendSession(dst []byte, v *Session) []byte {
	dst = appendHead(dst, sessionFields+sessionFieldsLater, v.extra)
	dst = pack.AppendUint(dst, v.Home)
	dst = appendEpoch(dst, v.Epoch)
	dst = appendEpoch(dst, v.Floor)
	dst = appendEpoch(dst, v.Ended)
	dst = pack.AppendUint(dst, uint64(v.Connects))
	dst = pack.AppendUint(dst, uint64(v.Expiry))
	dst = pack.AppendInt(dst, v.DisconnectedAt)
	dst = pack.AppendBool(dst, v.CleanStart)
	dst = appendWill(dst, v.Will)
	dst = appendEpoch(dst, v.WillFired)
	dst = pack.AppendUint(dst, uint64(v.Version))
	dst = pack.AppendString(dst, v.Username)
	dst = pack.AppendUint(dst, v.From)
	dst = pack.AppendUint(dst, uint64(v.BlocksLost)<<8|uint64(v.Blocks))
	return append(dst, v.extra.bytes...)
}

func decodeSession(b []byte) (*Session, error) {
	r := pack.NewReader(b)
	unknown := readHead(&r, sessionFields)
	v := &Session{
		Home:           r.Uint(),
		Epoch:          readEpoch(&r),
		Floor:          readEpoch(&r),
		Ended:          readEpoch(&r),
		Connects:       uint32(r.UintMax(math.MaxUint32)),
		Expiry:         uint32(r.UintMax(math.MaxUint32)),
		DisconnectedAt: r.Int(),
		CleanStart:     r.Bool(),
		Will:           readWill(&r),
		WillFired:      readEpoch(&r),
		Version:        uint8(r.UintMax(math.MaxUint8)),
		Username:       r.String(),
	}
	if unknown > 0 {
		v.From = r.Uint()
		unknown--
	}
	if unknown > 0 {
		blocks := r.UintMax(math.MaxUint16)
		v.Blocks, v.BlocksLost = uint8(blocks), uint8(blocks>>8)
		unknown--
	}
	v.extra = readExtra(&r, unknown)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return v, nil
}

// willFields are the fields of a will; the epoch was not always there.
const willFields = 8

func appendWill(dst []byte, w *Will) []byte {
	if w == nil {
		return pack.AppendNil(dst)
	}
	dst = pack.AppendArray(dst, willFields)
	dst = pack.AppendString(dst, w.Topic)
	dst = pack.AppendBytes(dst, w.Payload)
	dst = pack.AppendUint(dst, uint64(w.QoS))
	dst = pack.AppendBool(dst, w.Retain)
	dst = pack.AppendUint(dst, uint64(w.DelaySeconds))
	dst = pack.AppendBytes(dst, w.Properties)
	return appendEpoch(pack.AppendInt(dst, w.At), w.Epoch)
}

func readWill(r *pack.Reader) *Will {
	if r.Nil() {
		return nil
	}
	n := r.Array()
	if n != willFields && n != willFields-1 {
		r.Fail(pack.ErrKind)
		return nil
	}
	w := &Will{
		Topic:        r.String(),
		Payload:      clone(r.Bytes()),
		QoS:          uint8(r.UintMax(2)),
		Retain:       r.Bool(),
		DelaySeconds: uint32(r.UintMax(math.MaxUint32)),
		Properties:   clone(r.Bytes()),
		At:           r.Int(),
	}
	if n == willFields {
		w.Epoch = readEpoch(r)
	}
	return w
}
