package replica

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"tombolo/dvv"
)

// TestSlab: frames share memory and no byte of it, also where two are begun before the
// first one leaves, where one takes less than its room or more, and where one is given up.
func TestSlab(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	type kept struct{ frame, want []byte }
	var s slab
	var all []kept
	fill := func(room []byte, n int) []byte {
		b := byte(rng.Uint32())
		for range n {
			room = append(room, b)
		}
		return room
	}
	keep := func(f []byte) {
		want := bytes.Clone(f)
		f = s.keep(f)
		if cap(f) != len(f) {
			t.Fatalf("a frame of %d bytes has room for %d", len(f), cap(f))
		}
		all = append(all, kept{f, want})
	}
	for range 2000 {
		n := rng.IntN(frameRoom) + 1
		f := fill(s.room(n), rng.IntN(n+n/4+1))
		switch rng.IntN(6) {
		case 0: // another one is begun, and leaves first
			keep(fill(s.room(frameRoomSmall), rng.IntN(2*frameRoomSmall)+1))
		case 1:
			continue
		}
		if len(f) > 0 {
			keep(f)
		}
	}
	for i, k := range all {
		if !bytes.Equal(k.frame, k.want) {
			t.Fatalf("frame %d of %d was written over", i, len(all))
		}
	}
	if big := s.room(slabBytes); cap(big) != slabBytes || len(big) != 0 {
		t.Errorf("a long frame has room for %d", cap(big))
	}
}

// TestKnownObject: what is remembered of a key answers for the same bytes alone.
func TestKnownObject(t *testing.T) {
	record := func(n uint64) []byte {
		p := appendPayload(nil, payload{hlc: n, value: []byte("v")})
		return appendObject(nil, dvv.NewObject(dvv.VV{}, dvv.Sibling{Dot: dvv.Dot{Actor: 1, Counter: n}, Value: p}))
	}
	k := known{}
	for n := uint64(1); n < 200; n++ {
		name := []byte{'t', byte(n % 3)}
		o, err := k.object(name, record(n))
		if err != nil || !o.Live(dvv.Dot{Actor: 1, Counter: n}) {
			t.Fatalf("record %d reads as %v, %v", n, o, err)
		}
		k.keepObject(name, record(n), o)
		if again, err := k.object(name, record(n)); err != nil || !again.Equal(o) {
			t.Fatalf("record %d reads as %v the second time, %v", n, again, err)
		}
	}
	if _, err := k.object([]byte("t"), []byte{0x91}); err == nil {
		t.Error("a damaged record was read")
	}
	if o, err := (*known)(nil).object([]byte("t"), record(1)); err != nil || o.IsEmpty() {
		t.Errorf("without a memory: %v, %v", o, err)
	}
}
