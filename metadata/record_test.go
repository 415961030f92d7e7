package metadata

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"tombolo/internal/goldentest"
	"tombolo/internal/pack"
)

var (
	sampleSession = &Session{
		Home: 3, Epoch: Epoch{HLC: 1 << 50, Node: 3}, Floor: Epoch{HLC: 1 << 49, Node: 2}, Connects: 9, Expiry: 0xffffffff,
		DisconnectedAt: 1_700_000_000_000, CleanStart: true, WillFired: Epoch{HLC: 5, Node: 1}, Version: 5, Username: "user", From: 2, Blocks: 0b110, BlocksLost: 0b100,
		Will: &Will{Topic: "a/b", Payload: []byte("gone"), QoS: 1, Retain: true, DelaySeconds: 30, Properties: []byte{1, 2}, At: 1_700_000_030_000, Epoch: Epoch{HLC: 1 << 49, Node: 2}},
	}
	sampleSubscription = &Subscription{QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 1, ID: 268435455, Epoch: Epoch{HLC: 1 << 50, Node: 3}}
	sampleOwing        = &Subscription{QoS: 1, Owes: true, After: "a/b"}
	sampleRetained     = &Retained{QoS: 1, Payload: []byte("21.5"), Properties: []byte{}, PublishedAt: 1_700_000_000_000, ExpiresAt: 1_700_000_060_000}
)

// TestGoldenRecords pins the bytes of the typed records and of their keys.
func TestGoldenRecords(t *testing.T) {
	k := ClientKey{Mountpoint: "m", ClientID: "c"}
	for name, b := range map[string][]byte{
		"session": appendSession(nil, sampleSession), "session-empty": appendSession(nil, &Session{}),
		"subscription": appendSubscription(nil, sampleSubscription), "subscription-owing": appendSubscription(nil, sampleOwing), "retained": appendRetained(nil, sampleRetained),
		"key-session":      recordKey(TableSession, k.append(nil)),
		"key-subscription": recordKey(TableSubscription, subscriptionKey(k, "$share/g/a/+")),
		"key-retained":     recordKey(TableRetained, retainedKey("m", "a//b")),
		"key-named":        recordKey("later", []byte("k")),
	} {
		goldentest.Hex(t, name, b, "the format changed")
		var v any
		if name[:3] != "key" && msgpack.Unmarshal(b, &v) != nil {
			t.Errorf("%s: the library cannot read it", name)
		}
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	if got, err := decodeSession(appendSession(nil, sampleSession)); err != nil || !reflect.DeepEqual(got, sampleSession) {
		t.Errorf("session: got %+v, %v", got, err)
	}
	for _, v := range []*Subscription{sampleSubscription, sampleOwing, {Owes: true}} {
		if got, err := decodeSubscription(appendSubscription(nil, v)); err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("subscription: got %+v, %v", got, err)
		}
	}
	if got, err := decodeRetained(appendRetained(nil, sampleRetained)); err != nil || !reflect.DeepEqual(got, sampleRetained) {
		t.Errorf("retained: got %+v, %v", got, err)
	}
}

// TestUnknownFieldsSurvive: what a later version added is written again (R33).
func TestUnknownFieldsSurvive(t *testing.T) {
	b := pack.AppendNil(appendSubscription(nil, sampleSubscription))
	b[0] += 3
	b = pack.AppendString(pack.AppendArray(b, 1), "later")
	b = pack.AppendUint(b, 77)
	v, err := decodeSubscription(b)
	if err != nil || v.extra.count != 2 {
		t.Fatalf("got %+v, %v", v, err)
	}
	if got := appendSubscription(nil, v); string(got) != string(b) {
		t.Fatalf("written again: %x, was %x", got, b)
	}
}

func TestKeys(t *testing.T) {
	for _, topic := range []string{"a", "/", "a//b", "$SYS/x", "a/b/c", "ä/ö"} {
		m, got, ok := parseRetainedKey(retainedKey("mp", topic))
		if !ok || m != "mp" || got != topic {
			t.Errorf("%q: got %q, %q, %v", topic, m, got, ok)
		}
	}
	k := ClientKey{Mountpoint: "", ClientID: "c"}
	got, filter, ok := parseSubscriptionKey(subscriptionKey(k, "a/#"))
	if !ok || got != k || filter != "a/#" {
		t.Errorf("got %v, %q, %v", got, filter, ok)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(appendSession(nil, sampleSession))
	f.Add(appendSubscription(nil, sampleSubscription))
	f.Add(appendRetained(nil, sampleRetained))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := decodeSession(b); err == nil {
			again, err := decodeSession(appendSession(nil, v))
			if err != nil || !reflect.DeepEqual(again, v) {
				t.Fatalf("session %+v: again %+v, %v", v, again, err)
			}
		}
		if v, err := decodeSubscription(b); err == nil {
			again, err := decodeSubscription(appendSubscription(nil, v))
			if err != nil || !reflect.DeepEqual(again, v) {
				t.Fatalf("subscription %+v: again %+v, %v", v, again, err)
			}
		}
		if v, err := decodeRetained(b); err == nil {
			again, err := decodeRetained(appendRetained(nil, v))
			if err != nil || !reflect.DeepEqual(again, v) {
				t.Fatalf("retained %+v: again %+v, %v", v, again, err)
			}
		}
	})
}

// TestSessionOfEarlierFormat: a record without the fields that came later is
// read, and its will counts as that of its own epoch.
func TestSessionOfEarlierFormat(t *testing.T) {
	b, err := hex.DecodeString("9d010392cf00040000000000000392cf00020000000000000292000009ceffffffffcf0000018bcfe56800c397a3612f62c404676f6e6501c31ec4020102cf0000018bcfe5dd3092050105a475736572")
	if err != nil {
		t.Fatal(err)
	}
	v, err := decodeSession(b)
	if err != nil {
		t.Fatal(err)
	}
	if v.From != 0 || v.Will.At != 1_700_000_030_000 || v.WillEpoch() != v.Epoch || !v.WillPending() {
		t.Errorf("read as %+v with will %+v", v, v.Will)
	}
	v.WillFired = v.Epoch
	if v.WillPending() {
		t.Error("a will that was published is pending")
	}
}
