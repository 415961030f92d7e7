package conn

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// Guarantee 4, with bytes that several outboxes share: they leave in order of
// the calls, however they were put in, and nobody writes to them.
func TestContractShared(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		r := rand.New(rand.NewPCG(1, 2))
		body := make([]byte, 300_000)
		for i := range body {
			body[i] = byte(r.Uint32())
		}
		kept := bytes.Clone(body)
		conns := make(chan Conn, 2)
		h := d.serve(t, Config{}, func(c Conn) Handler {
			conns <- c
			return &funcHandler{}
		})
		for range 2 {
			cl := d.dial(t, h)
			go func() { _, _ = cl.Write([]byte{0}) }() // some handshakes wait for the client
			c := await(t, conns, "a connection")
			want := appendShared(t, r, c, body)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(cl, got); err != nil {
				t.Fatalf("reading %d bytes: %v", len(want), err)
			}
			if !bytes.Equal(got, want) {
				t.Error("the bytes came in another order, or others")
			}
		}
		if !bytes.Equal(body, kept) {
			t.Error("shared bytes were written to")
		}
	})
}

// appendShared fills c's outbox in all ways, beginning with shared bytes, and
// returns what has to arrive.
func appendShared(t *testing.T, r *rand.Rand, c Conn, body []byte) (want []byte) {
	t.Helper()
	for range 20 {
		c.Locker().Lock()
		for range 1 + r.IntN(8) {
			part := body[:r.IntN(1+len(body)>>r.IntN(9))]
			before := c.Buffered()
			c.AppendShared(part)
			if got := c.Buffered() - before; got != len(part) {
				t.Errorf("%d shared bytes count as %d", len(part), got)
			}
			want = append(want, part...)
			head := body[:r.IntN(400)]
			c.Append(head)
			copy(c.Reserve(len(head)), head)
			want = append(append(want, head...), head...)
		}
		c.Locker().Unlock()
		c.Flush()
	}
	return want
}

// What stands between shared payloads is short, and so are its chunks; chunks
// go back to pools, so that in steady state nothing is allocated.
func TestSharedTakesLittle(t *testing.T) {
	payload, head := make([]byte, 64<<10), make([]byte, 20)
	var l chunkList
	fill := func() {
		for range 16 {
			l.append(head)
			l.share(payload)
		}
	}
	fill()
	own := 0
	for k := l.head; k != nil; k = k.next {
		if !k.shared {
			own += len(k.buf)
		}
	}
	if most := chunkSizes[0] + 15*betweenBytes; own > most {
		t.Errorf("16 heads of 20 bytes take %d bytes, %d are enough", own, most)
	}
	l.drop()
	if l.size != 0 || l.head != nil {
		t.Fatalf("%d bytes are left", l.size)
	}
	if raceEnabled {
		return // pools lose on purpose
	}
	if got := testing.AllocsPerRun(500, func() { fill(); l.drop() }); got > 0.5 {
		t.Errorf("%.2f allocations for 16 messages", got)
	}
}
