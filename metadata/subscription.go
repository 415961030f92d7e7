package metadata

import (
	"bytes"
	"math"

	"tombolo/metadata/internal/pack"
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
	dst = appendHead(dst, subscriptionFields, v.extra)
	dst = pack.AppendUint(dst, uint64(v.QoS))
	dst = pack.AppendBool(dst, v.NoLocal)
	dst = pack.AppendBool(dst, v.RetainAsPublished)
	dst = pack.AppendUint(dst, uint64(v.RetainHandling))
	dst = pack.AppendUint(dst, uint64(v.ID))
	dst = appendEpoch(dst, v.Epoch)
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
	v.extra = readExtra(&r, unknown)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return v, nil
}
