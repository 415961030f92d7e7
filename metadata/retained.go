package metadata

import (
	"bytes"
	"strings"

	"tombolo/internal/pack"
)

// Retained is the retained message of one topic. As a register it is won by
// the later write; a clear is a write as well (R31).
type Retained struct {
	QoS         uint8
	Payload     []byte
	Properties  []byte // encoded by the protocol layer, opaque here
	PublishedAt int64  // unix ms
	ExpiresAt   int64  // unix ms; 0 never

	extra extra
}

// Expired says whether v is past its expiry at now, in unix ms.
func (v *Retained) Expired(now int64) bool { return v.ExpiresAt != 0 && now >= v.ExpiresAt }

const retainedFields = 5

// levelSeparator stands for '/' in the keys of retained messages. No topic
// holds U+0000 (MQTT-1.5.4-2), and nothing sorts below it, so that a level's
// name and all below it are neighbours: "a", "a/b", "a/c" stand before "a!".
const levelSeparator = 0x00

// retainedKey is the key of a topic: mountpoint, 0x00, the topic with every
// '/' as 0x00. A mountpoint holds no U+0000, a topic's level no '/'.
func retainedKey(mountpoint, topic string) []byte {
	dst := make([]byte, 0, len(mountpoint)+1+len(topic))
	dst = append(dst, mountpoint...)
	dst = append(dst, 0)
	return appendLevels(dst, topic)
}

func appendLevels(dst []byte, topic string) []byte {
	start := len(dst)
	dst = append(dst, topic...)
	for at := start; at < len(dst); {
		i := bytes.IndexByte(dst[at:], '/')
		if i < 0 {
			break
		}
		dst[at+i] = levelSeparator
		at += i + 1
	}
	return dst
}

// parseRetainedKey is the inverse of retainedKey.
func parseRetainedKey(key []byte) (mountpoint, topic string, ok bool) {
	m, levels, ok := bytes.Cut(key, []byte{0})
	return string(m), topicOf(levels), ok
}

func topicOf(levels []byte) string {
	return strings.ReplaceAll(string(levels), "\x00", "/")
}

func appendRetained(dst []byte, v *Retained) []byte {
	dst = appendHead(dst, retainedFields, v.extra)
	dst = pack.AppendUint(dst, uint64(v.QoS))
	dst = pack.AppendBytes(dst, v.Payload)
	dst = pack.AppendBytes(dst, v.Properties)
	dst = pack.AppendInt(dst, v.PublishedAt)
	dst = pack.AppendInt(dst, v.ExpiresAt)
	return append(dst, v.extra.bytes...)
}

// decodeRetained copies nothing: payload and properties are parts of b.
func decodeRetained(b []byte) (*Retained, error) {
	r := pack.NewReader(b)
	unknown := readHead(&r, retainedFields)
	v := &Retained{
		QoS:         uint8(r.UintMax(2)),
		Payload:     r.Bytes(),
		Properties:  r.Bytes(),
		PublishedAt: r.Int(),
		ExpiresAt:   r.Int(),
	}
	v.extra = readExtra(&r, unknown)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return v, nil
}
