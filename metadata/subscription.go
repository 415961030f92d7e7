package metadata

import (
	"bytes"
	"math"

	"tombolo/internal/pack"
)

// Subscription is one filter of one persistent session. Concurrent writes keep
// the filter (add wins); of two the one of the higher Epoch, then the later
// one, is read. One below the session's floor is dead (R18).
type Subscription struct {
	QoS               uint8
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    uint8
	ID                uint32 // MQTT 5 subscription identifier; 0 none
	Epoch             Epoch  // the session's, when this was written

	// Owes says that the session has yet to be sent retained messages for this
	// filter: those of the topics behind After, in the order of their keys.
	Owes  bool
	After string // a topic; "" is before all

	extra extra
}

const subscriptionFields = 6

// subscriptionKey is the key of a subscription: client key, 0x00, the filter
// as it was sent, $share/<group>/ included.
func subscriptionKey(k ClientKey, filter string) []byte {
	dst := clientPrefix(k, len(filter))
	return append(dst, filter...)
}

// clientPrefix is what the keys of the client's subscriptions begin with.
func clientPrefix(k ClientKey, room int) []byte {
	dst := k.append(make([]byte, 0, len(k.Mountpoint)+len(k.ClientID)+2+room))
	return append(dst, 0)
}

func parseSubscriptionKey(key []byte) (k ClientKey, filter string, ok bool) {
	mountpoint, rest, ok1 := bytes.Cut(key, []byte{0})
	id, f, ok2 := bytes.Cut(rest, []byte{0})
	return ClientKey{Mountpoint: string(mountpoint), ClientID: string(id)}, string(f), ok1 && ok2
}

func appendSubscription(dst []byte, v *Subscription) []byte {
	later := 0
	if v.Owes || v.extra.count > 0 {
		later = 1
	}
	dst = appendHead(dst, subscriptionFields+later, v.extra)
	dst = pack.AppendUint(dst, uint64(v.QoS))
	dst = pack.AppendBool(dst, v.NoLocal)
	dst = pack.AppendBool(dst, v.RetainAsPublished)
	dst = pack.AppendUint(dst, uint64(v.RetainHandling))
	dst = pack.AppendUint(dst, uint64(v.ID))
	dst = appendEpoch(dst, v.Epoch)
	switch {
	case v.Owes:
		dst = pack.AppendString(dst, v.After)
	case later > 0:
		dst = pack.AppendNil(dst)
	}
	return append(dst, v.extra.bytes...)
}

func decodeSubscription(b []byte) (*Subscription, error) {
	r := pack.NewReader(b)
	unknown := readHead(&r, subscriptionFields)
	v := &Subscription{
		QoS:               uint8(r.UintMax(2)),
		NoLocal:           r.Bool(),
		RetainAsPublished: r.Bool(),
		RetainHandling:    uint8(r.UintMax(2)),
		ID:                uint32(r.UintMax(math.MaxUint32)),
		Epoch:             readEpoch(&r),
	}
	if unknown > 0 {
		if v.Owes = !r.Nil(); v.Owes {
			v.After = r.String()
		}
		unknown--
	}
	v.extra = readExtra(&r, unknown)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return v, nil
}
