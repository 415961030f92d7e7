package packet

import (
	"bytes"
	"testing"
)

// TestSplitAsBytesArrive feeds a packet byte by byte: nothing before the last
// byte, and Need tells the size as soon as the header is complete.
func TestSplitAsBytesArrive(t *testing.T) {
	raw := AppendPublish(nil, V311, &Publish{Topic: []byte("t"), Payload: make([]byte, 300)})
	for n := range len(raw) {
		f, size, err := Split(raw[:n], 0)
		if size != 0 || err != nil {
			t.Fatalf("after %d of %d bytes: frame %v, size %d, error %v", n, len(raw), f, size, err)
		}
		want := 0
		if n >= 3 {
			want = len(raw)
		}
		if got := Need(raw[:n]); got != want {
			t.Fatalf("after %d bytes: Need %d, want %d", n, got, want)
		}
	}
	f, size, err := Split(append(raw, 0xc0, 0), 0)
	if err != nil || size != len(raw) || f.Type != TypePublish || f.Size != size || len(f.Body) != 303 {
		t.Fatalf("whole packet: %v size %d error %v", f.Type, size, err)
	}
	if cap(f.Body) != len(f.Body) {
		t.Errorf("the body can be appended to over the next packet: cap %d", cap(f.Body))
	}
}

func TestSplitLimit(t *testing.T) {
	raw := AppendPublish(nil, V311, &Publish{Topic: []byte("t"), Payload: make([]byte, 300)})
	if _, size, err := Split(raw, len(raw)); size != len(raw) || err != nil {
		t.Errorf("at the limit: size %d, error %v", size, err)
	}
	if _, _, err := Split(raw, len(raw)-1); err != errTooLarge {
		t.Errorf("beyond the limit: got %v, want %v", err, errTooLarge)
	}
	if _, _, err := Split([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 1<<20); err != errTooLarge {
		t.Errorf("announced beyond the limit: got %v, want %v", err, errTooLarge)
	}
	if got := Need([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}); got != MaxSize {
		t.Errorf("largest packet: Need %d, want %d", got, MaxSize)
	}
	if got := Need([]byte{0x30, 0xff, 0xff, 0xff, 0xff}); got != 0 {
		t.Errorf("malformed header: Need %d, want 0", got)
	}
}

func TestVarint(t *testing.T) {
	for _, c := range []struct{ n, size int }{
		{0, 1}, {127, 1}, {128, 2}, {16_383, 2}, {16_384, 3}, {2_097_151, 3}, {2_097_152, 4}, {MaxRemaining, 4},
	} {
		b := appendVarint(nil, c.n)
		in := cursor{b: b}
		if len(b) != c.size || varintSize(c.n) != c.size || in.varint() != uint32(c.n) || in.end() != nil {
			t.Errorf("%d: encoded as %x, size %d, want %d bytes", c.n, b, varintSize(c.n), c.size)
		}
	}
}

// TestPaddedLengthBeforeV5 reads what small clients send that reserve four
// bytes for the remaining length.
func TestPaddedLengthBeforeV5(t *testing.T) {
	f, size, err := Split([]byte{0x40, 0x82, 0x80, 0x80, 0x00, 0, 1}, 0)
	if err != nil || size != 7 {
		t.Fatalf("size %d, error %v", size, err)
	}
	var a Ack
	if err := DecodeAck(f, V311, &a); err != nil || a.ID != 1 {
		t.Errorf("MQTT 3.1.1: %v, id %d", err, a.ID)
	}
}

// TestOldLeniency holds what MQTT 3.1 allows and later versions do not.
func TestOldLeniency(t *testing.T) {
	f, _, _ := Split([]byte{0x6a, 2, 0, 1}, 0)
	if err := DecodeAck(f, V31, &Ack{}); err != nil {
		t.Errorf("PUBREL with DUP: %v", err)
	}
	raw := []byte("\x10\x0f\x00\x06MQIsdp\x03\xc3\x00\x3c\x00\x01a")
	f, _, _ = Split(raw, 0)
	var c Connect
	if err := DecodeConnect(f, &c); err != nil || c.HasUsername || c.HasPassword {
		t.Errorf("announced credentials that are missing: %v %v", err, c)
	}
}

// TestConnectNamesVersionOnRefusal: the answer to a bad CONNECT must be in the
// version that the client speaks.
func TestConnectNamesVersionOnRefusal(t *testing.T) {
	var c Connect
	for _, e := range []struct {
		raw  string
		want Version
	}{
		{"\x10\x0e\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x01a", V5},
		{"\x10\x0e\x00\x04MQTT\x09\x03\x00\x3c\x00\x00\x01a", 9},
		{"\x10\x0d\x00\x04MQTT\x84\x03\x00\x3c\x00\x01a", V311},
	} {
		f, _, _ := Split([]byte(e.raw), 0)
		if err := DecodeConnect(f, &c); err == nil || c.Version != e.want {
			t.Errorf("%q: error %v, version %d, want %d", e.raw, err, c.Version, e.want)
		}
	}
}

func TestReturnCode(t *testing.T) {
	for code, r := range returnReasons {
		if got := ReturnCode(r); int(got) != code {
			t.Errorf("%s: %d, want %d", r, got, code)
		}
	}
	for _, r := range []ReasonCode{ServerBusy, QuotaExceeded, UseAnotherServer, PacketTooLarge} {
		if got := ReturnCode(r); got != 3 {
			t.Errorf("%s: %d, want 3", r, got)
		}
	}
}

// TestPublishIDPatch encodes once and writes other packet identifiers in.
func TestPublishIDPatch(t *testing.T) {
	for _, v := range []Version{V311, V5} {
		for _, payload := range []int{0, 200, 20_000} {
			p := Publish{QoS: 1, ID: 1, Topic: bytes.Repeat([]byte("t"), 300), Payload: make([]byte, payload)}
			got := AppendPublish(nil, v, &p)
			at := PublishIDOffset(got)
			got[at], got[at+1] = 0x12, 0x34
			p.ID = 0x1234
			if want := AppendPublish(nil, v, &p); !bytes.Equal(got, want) {
				t.Errorf("MQTT %s, payload %d: patched at %d: %x, want %x", v, payload, at, got[:8], want[:8])
			}
		}
	}
}

// TestNames wants a name for each packet type, reason code and property.
func TestNames(t *testing.T) {
	for typ := TypeConnect; typ <= TypeAuth; typ++ {
		if typ.String() == "" || typ.String() == "RESERVED" {
			t.Errorf("type %d has no name", typ)
		}
	}
	sets := []*reasonSet{connackReasons, pubackReasons, pubrelReasons, subackReasons, unsubackReasons,
		disconnectReasons, authReasons}
	for r := range 256 {
		known := false
		for _, s := range sets {
			known = known || s.has(ReasonCode(r))
		}
		if got := ReasonCode(r).String() != "Unknown reason code"; got != known {
			t.Errorf("reason code %#02x: named %v, allowed somewhere %v", r, got, known)
		}
	}
	for i, row := range propertyTable {
		if row.bit != 1<<i || row.name == "" || row.place == 0 {
			t.Errorf("row %d of the property table is %+v", i, row)
		}
	}
	if got := (PropUser | PropTopicAlias).String(); got != "topic-alias user-property" {
		t.Errorf("set prints as %q", got)
	}
}

// TestConnackWithoutSession: session present must not stand beside a refusal
// (MQTT-3.2.2-6), nor in MQTT 3.1.
func TestConnackWithoutSession(t *testing.T) {
	for _, c := range []struct {
		v    Version
		r    ReasonCode
		want string
	}{
		{V31, Success, "\x20\x02\x00\x00"}, {V311, Success, "\x20\x02\x01\x00"},
		{V311, NotAuthorized, "\x20\x02\x00\x05"}, {V5, ServerBusy, "\x20\x03\x00\x89\x00"},
	} {
		got := AppendConnack(nil, c.v, &Connack{SessionPresent: true, Reason: c.r})
		if string(got) != c.want {
			t.Errorf("MQTT %s, %s: %x, want %x", c.v, c.r, got, c.want)
		}
	}
}
