package link

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"tombolo/internal/wire"
)

// scripted is a connection whose reads bring one piece each, and then its end.
type scripted struct {
	net.Conn // nil: nothing else is asked of it
	pieces   [][]byte
}

func (s *scripted) SetReadDeadline(time.Time) error { return nil }
func (s *scripted) Close() error                    { return nil }
func (s *scripted) Read(b []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

// bulk is a connection of node 1 with node 2 that reads from raw.
func bulk(t *testing.T, raw net.Conn) (*node, *connection) {
	t.Helper()
	n := prepare(t, 1, nil)
	t.Cleanup(func() { _ = n.mesh.mu.listener.Close() })
	return n, newConnection(newPeer(n.mesh, 2, ""), wire.Bulk, raw, Peer{ID: 2, Incarnation: 1, Version: 1})
}

func appendDatagram(dst []byte, size int) []byte {
	h := wire.Header{Version: 1, TTL: 1, Type: wire.TypePublish, Flags: wire.FlagFirst | wire.FlagLast, Source: 2, Destination: 1,
		Incarnation: 1, Stream: wire.StreamFast, Length: uint32(size)}
	return append(wire.AppendHeader(dst, &h), make([]byte, size)...)
}

// TestDrained: the handler is told once for all that a read has brought, however
// frames and reads fall, and nothing is left untold.
func TestDrained(t *testing.T) {
	var burst []byte
	for range 100 {
		burst = appendDatagram(burst, 200)
	}
	one := len(burst) / 100
	for _, c := range []struct {
		name   string
		pieces [][]byte
		want   []int // how many had come at each Drained
	}{
		{"one read", [][]byte{burst}, []int{100}},
		{"two reads", [][]byte{burst[:one*40], burst[one*40:]}, []int{40, 100}},
		{"within a frame", [][]byte{burst[:one*40+7], burst[one*40+7:]}, []int{40, 100}},
		{"within a body", [][]byte{burst[:one*3-1], burst[one*3-1:]}, []int{2, 100}},
		{"nothing whole", [][]byte{burst[:20], burst[20:40], burst[40:]}, []int{100}},
	} {
		n, conn := bulk(t, &scripted{pieces: c.pieces})
		if err := conn.read(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := n.mu.drained[2]; !equal(got, c.want) {
			t.Errorf("%s: drained after %v, want %v", c.name, got, c.want)
		}
	}
	bad := append(bytes.Clone(burst[:one*5]), make([]byte, wire.HeaderBytes)...)
	n, conn := bulk(t, &scripted{pieces: [][]byte{bad}})
	if err := conn.read(); !errors.Is(err, wire.ErrVersion) {
		t.Errorf("a frame that makes no sense: %v", err)
	}
	if got := n.mu.drained[2]; !equal(got, []int{5}) {
		t.Errorf("drained after %v, want what came before the fault", got)
	}
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestSourceLargest: frames of any size come whole, also when they fill the
// buffer, and an end within one is told from an end after it.
func TestSourceLargest(t *testing.T) {
	sizes := []int{0, 1, wire.BodyBytesMax, wire.BodyBytesMax - 1, 17, wire.BodyBytesMax, wire.BodyBytesMax}
	var all []byte
	for _, s := range sizes {
		all = appendDatagram(all, s)
	}
	n, conn := bulk(t, &scripted{pieces: [][]byte{all}})
	if err := conn.read(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the end: %v", err)
	}
	if !equal(n.mu.datagrams[2], sizes) {
		t.Errorf("came %v, want %v", n.mu.datagrams[2], sizes)
	}
	_, conn = bulk(t, &scripted{pieces: [][]byte{all[:len(all)-1]}})
	if err := conn.read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an end within a frame: %v", err)
	}
}

// TestDirect: the short way to a socket keeps the contract of net.Conn, where
// there is one.
func TestDirect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := &peer{}
	in, out := newCuttable(b, &p.cut), newCuttable(a, &p.cut)
	sent := make([]byte, 8<<20) // more than the kernel takes at once
	for i := range sent {
		sent[i] = byte(i * 7 >> 3)
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := out.Write(sent)
		wrote <- err
		_ = a.Close()
	}()
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came, %v", len(got), len(sent), err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if _, err := out.Write(sent); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := b.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	if reasonOf(os.ErrDeadlineExceeded) != "silence" {
		t.Error("a deadline is silence")
	}
}
