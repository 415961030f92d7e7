package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"

	"tombolo/internal/wire"
)

// runOf is a run of bodies of these sizes, each of its own byte.
func runOf(sizes ...int) (run []byte) {
	for i, size := range sizes {
		at := len(run)
		run = append(wire.OpenFrame(run), bytes.Repeat([]byte{byte('a' + i)}, size)...)
		wire.CloseFrame(run, at)
	}
	return run
}

// TestPostRun: what a run of publishes has becomes the frames that each by itself
// would be, long ones in chunks, and in their order; what finds no room is dropped by
// itself, and the run can be sent to the next node.
func TestPostRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		waits   int // bytes before
		sizes   []int
		dropped int
		arrive  []int
	}{
		{"short ones", 0, []int{1, 200, 130}, 0, []int{1, 200, 130}},
		{"a lone one", 0, []int{7}, 0, []int{7}},
		{"chunks among them", 0, []int{10, wire.BodyBytesMax + 1, 2 * wire.BodyBytesMax, 20}, 0, []int{10, wire.BodyBytesMax, 1, wire.BodyBytesMax, wire.BodyBytesMax, 20}},
		{"no room for one", 1<<20 - 600, []int{100, 500, 50}, 1, []int{100, 50}},
		{"no room for any", 1 << 20, []int{100, 500}, 2, nil},
		{"longer than all that may wait", 0, []int{1<<20 + 1}, 0, slices.Concat(slices.Repeat([]int{wire.BodyBytesMax}, 16), []int{1})},
	} {
		n, conn := bulk(t, &scripted{})
		conn.p.attach(conn)
		n.mesh.putLocked(2, conn.p)
		if c.waits > 0 {
			conn.addDatagramLocked(wire.StreamFast, wire.TypePublish, make([]byte, min(c.waits, wire.BodyBytesMax)))
			conn.datagrams = append(conn.datagrams, make([]byte, c.waits-len(conn.datagrams))...)
		}
		before, run := len(conn.datagrams), runOf(c.sizes...)
		for range 2 { // the second time it stands in the stamp of the first
			conn.datagrams, conn.datagramFrames, conn.queued = conn.datagrams[:before], 0, 0
			if got := n.mesh.PostPublish(2, run); got != c.dropped {
				t.Errorf("%s: %d dropped, want %d", c.name, got, c.dropped)
			}
			posted := conn.datagrams[before:]
			var got []int
			for at := 0; at < len(posted); {
				var h wire.Header
				if err := wire.ParseHeader(posted[at:], &h); err != nil || h.Source != 1 || h.Destination != 2 || h.Stream != wire.StreamFast || h.Type != wire.TypePublish {
					t.Fatalf("%s: %+v, %v", c.name, h, err)
				}
				got = append(got, int(h.Length))
				at += wire.HeaderBytes + int(h.Length)
			}
			if !slices.Equal(got, c.arrive) || conn.datagramFrames != len(c.arrive) || conn.queued != len(posted) {
				t.Errorf("%s: frames of %v (%d counted, %d bytes of %d), want %v", c.name, got, conn.datagramFrames, conn.queued, len(posted), c.arrive)
			}
		}
	}
	n, _ := bulk(t, &scripted{})
	if got := n.mesh.PostPublish(3, runOf(1, 2)); got != 2 {
		t.Errorf("%d dropped for nobody, want both", got)
	}
}

// TestPostRunIsDatagrams: a run leaves byte for byte as its messages do one by one.
func TestPostRunIsDatagrams(t *testing.T) {
	_, one := bulk(t, &scripted{})
	_, all := bulk(t, &scripted{})
	for _, body := range [][]byte{[]byte("aaa"), bytes.Repeat([]byte("b"), 300)} {
		one.addDatagramLocked(wire.StreamFast, wire.TypePublish, body)
	}
	all.addRunLocked(runOf(3, 300))
	if a, b := one.takeDatagramsLocked(nil), all.takeDatagramsLocked(nil); !bytes.Equal(a, b) {
		t.Errorf("% x, want % x", b, a)
	}
	if one.out.moved != 2 || all.out.moved != 2 || one.out.movedBytes != all.out.movedBytes || all.datagramFrames != 0 {
		t.Errorf("%+v and %+v", one.out, all.out)
	}
}

// TestAlikeHeaders: a header that begins as the last one did is taken by its length
// alone, and one that has nothing before it, or differs in a byte, is checked whole.
func TestAlikeHeaders(t *testing.T) {
	frame := appendDatagram(nil, 10)
	long := bytes.Clone(frame)
	binary.BigEndian.PutUint32(long[stampBytes:], wire.BodyBytesMax+1)
	reads := func(pieces ...[]byte) error {
		n, c := bulk(t, &scripted{pieces: pieces})
		n.mesh.begun = n.mesh.config.Clock.Now()
		return c.read()
	}
	if err := reads(frame, frame, append(bytes.Clone(frame), frame...)); !errors.Is(err, io.EOF) {
		t.Errorf("four alike: %v", err)
	}
	if err := reads(frame, long); !errors.Is(err, wire.ErrLength) {
		t.Errorf("too long, behind one that was not: %v", err)
	}
	if err := reads(make([]byte, wire.HeaderBytes)); !errors.Is(err, wire.ErrVersion) {
		t.Errorf("nothing but zeros: %v", err)
	}
	for at := range stampBytes {
		if at == 1 || at == 2 {
			continue // another type, or a chunk, may be right
		}
		bad := bytes.Clone(frame)
		bad[at] ^= 0x80
		if at == 3 {
			bad[at] = 0 // no time to live
		}
		if err := reads(frame, bad); err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			t.Errorf("byte %d differs, and it was taken: %v", at, err)
		}
	}
}
