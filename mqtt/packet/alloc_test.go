package packet

import (
	"bytes"
	"slices"
	"testing"
)

// fullPublish has every property that a PUBLISH may have.
func fullPublish() *Publish {
	return &Publish{
		QoS: 1, ID: 7, Topic: []byte("building/7/floor/3/temperature"), Payload: make([]byte, 128),
		Properties: Properties{
			Set: PropPayloadFormat | PropMessageExpiry | PropContentType | PropResponseTopic |
				PropCorrelationData | PropSubscriptionID | PropTopicAlias | PropUser,
			MessageExpiry: 60, ContentType: []byte("json"), ResponseTopic: []byte("re/ply"),
			CorrelationData: []byte{1, 2}, SubscriptionIDs: []uint32{1, 300}, TopicAlias: 4,
			User: []UserProperty{{[]byte("a"), []byte("1")}, {[]byte("b"), []byte("2")}},
		},
	}
}

// TestNoAllocation is guarantee 4 of the package.
func TestNoAllocation(t *testing.T) {
	buf := make([]byte, 0, 4096)
	var p Publish
	var a Ack
	props := Properties{Set: PropReasonString | PropUser, ReasonString: []byte("why"),
		User: []UserProperty{{[]byte("k"), []byte("v")}}}
	for _, v := range []Version{V311, V5} {
		raw := AppendPublish(nil, v, fullPublish())
		check(t, v, "PUBLISH", func() {
			f, _, _ := Split(raw, 0)
			if DecodePublish(f, v, &p) != nil {
				t.Fatal("PUBLISH does not decode")
			}
			buf = AppendPublish(buf[:0], v, &p)
		})
		for typ := TypePuback; typ <= TypePubcomp; typ++ {
			raw := AppendAck(nil, v, &Ack{Type: typ, ID: 9, Properties: props})
			check(t, v, typ.String(), func() {
				f, _, _ := Split(raw, 0)
				if DecodeAck(f, v, &a) != nil {
					t.Fatal("ack does not decode")
				}
				buf = AppendAck(buf[:0], v, &a)
			})
		}
	}
	bad := []byte("\x30\x03\x00\x01\x00")
	check(t, V311, "a refusal", func() {
		f, _, _ := Split(bad, 0)
		if DecodePublish(f, V311, &p) != errString {
			t.Fatal("not refused")
		}
	})
}

func check(t *testing.T, v Version, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Errorf("MQTT %s: %s: %v allocations, want none", v, what, n)
	}
}

// TestHostileLengths gives every length field of a small packet its largest
// value: nothing may be allocated on its word.
func TestHostileLengths(t *testing.T) {
	hostile := []string{
		"\x30\xff\xff\xff\x7f\xff\xff",                                 // remaining length, topic
		"\x30\x07\x00\x01t\xff\xff\xff\x7f",                            // property length
		"\x30\x09\x00\x01t\x05\x26\xff\xffab",                          // user property name
		"\x82\x05\x00\x01\x00\xff\xff",                                 // filter
		"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\xff\xff",             // client id
		"\x10\x10\x00\x04MQTT\x05\xc6\x00\x3c\xff\xff\xff\x7f\x00\x00", // properties of CONNECT
	}
	for _, raw := range hostile {
		var p packets
		n := testing.AllocsPerRun(20, func() {
			f, size, err := Split([]byte(raw), 0)
			if err != nil || size == 0 {
				return
			}
			if _, err := p.decode(f, V5); err == nil {
				t.Fatalf("%q was accepted", raw)
			}
		})
		if n > 1 { // the copy of raw itself
			t.Errorf("%q: %v allocations", raw, n)
		}
	}
}

// TestNoHoarding: memory that one packet needed for a great many entries goes
// with the next packet.
func TestNoHoarding(t *testing.T) {
	var p packets
	big := &Publish{Topic: []byte("t"), Properties: Properties{Set: PropUser, User: make([]UserProperty, 5_000)}}
	f, _, _ := Split(AppendPublish(nil, V5, big), 0)
	if _, err := p.decode(f, V5); err != nil || len(p.publish.Properties.User) != 5_000 {
		t.Fatalf("%v, %d user properties", err, len(p.publish.Properties.User))
	}
	sub := &Subscribe{ID: 1, Subscriptions: make([]Subscription, 5_000)}
	f, _, _ = Split(AppendSubscribe(nil, V5, sub), 0)
	if _, err := p.decode(f, V5); err != nil || len(p.subscribe.Subscriptions) != 5_000 {
		t.Fatalf("%v, %d subscriptions", err, len(p.subscribe.Subscriptions))
	}
	for _, raw := range []string{"\x30\x04\x00\x01t\x00", "\x82\x07\x00\x01\x00\x00\x01a\x00"} {
		f, _, _ := Split([]byte(raw), 0)
		if _, err := p.decode(f, V5); err != nil {
			t.Fatal(err)
		}
	}
	if cap(p.publish.Properties.User) > reuseMax || cap(p.subscribe.Subscriptions) > reuseMax {
		t.Errorf("kept room for %d user properties and %d subscriptions",
			cap(p.publish.Properties.User), cap(p.subscribe.Subscriptions))
	}
}

// TestWellFormed tries one odd rune at every place of a string, so that the
// step of eight bytes meets it everywhere.
func TestWellFormed(t *testing.T) {
	for length := range 20 {
		for at := range length + 1 {
			for odd, want := range map[string]bool{
				"": true, "\x01": true, "\x7f": true, "é": true, "\U0010ffff": true, "\ufeff": true,
				"\x00": false, "\x80": false, "\xff": false, "\xed\xa0\x80": false, "\xc0\x80": false, "\xe2\x82": false,
			} {
				s := bytes.Repeat([]byte("a"), length)
				s = slices.Insert(s, at, []byte(odd)...)
				if got := wellFormed(s); got != want {
					t.Errorf("%q: %v, want %v", s, got, want)
				}
			}
		}
	}
}
