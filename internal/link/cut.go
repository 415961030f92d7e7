package link

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// errCut ends what a rehearsed cut keeps from happening.
var errCut = errors.New("cut for a rehearsal")

// SetCut is the rehearsal switch: from now on every byte from and to the nodes
// named vanishes without a sound, as in a network that has split, and neither
// end is told. Nodes that were named before and are not now are healed: what
// stood is closed and dialled anew.
func (m *Mesh) SetCut(nodes []NodeID) {
	for _, p := range m.peers() {
		cut := slices.Contains(nodes, p.id)
		if p.cut.Load() == cut {
			continue
		}
		if cut {
			p.cut.Store(true)
			continue
		}
		p.closeAll("healed") // first, since what vanished would be a gap
		p.cut.Store(false)
		m.Kick(p.id)
	}
}

// Reset closes the connections of a peer, so that they begin anew: what was
// soft about it has been dropped here, and has to come again.
func (m *Mesh) Reset(id NodeID) {
	if p := m.peer(id); p != nil {
		p.closeAll(byVerdict)
	}
}

// closeAll closes what stands.
func (p *peer) closeAll(why string) {
	p.mu.Lock()
	conns := p.mu.conns
	p.mu.Unlock()
	for _, c := range conns {
		if c != nil {
			c.close(why)
		}
	}
}

// cuttable is a connection whose bytes vanish while cut holds. Its fields are
// immutable.
type cuttable struct {
	net.Conn
	cut *atomic.Bool
	io  io.ReadWriter // Conn, or a shorter way to its socket
}

func newCuttable(c net.Conn, cut *atomic.Bool) *cuttable {
	if d := newDirect(c); d != nil {
		return &cuttable{Conn: c, cut: cut, io: d}
	}
	return &cuttable{Conn: c, cut: cut, io: c}
}

// Write implements net.Conn.
func (c *cuttable) Write(b []byte) (int, error) {
	if c.cut.Load() {
		return len(b), nil
	}
	return c.io.Write(b)
}

// short says that tryWrite works.
func (c *cuttable) short() bool {
	_, ok := c.io.(*direct)
	return ok
}

// tryWrite writes what the socket takes at once, if short says so.
func (c *cuttable) tryWrite(b []byte) (int, error) {
	if c.cut.Load() {
		return len(b), nil
	}
	return c.io.(*direct).tryWrite(b)
}

// Read implements net.Conn. What comes during a cut is dropped until the
// deadline ends the connection, as silence would.
func (c *cuttable) Read(b []byte) (int, error) {
	for {
		n, err := c.io.Read(b)
		if err != nil || !c.cut.Load() {
			return n, err
		}
	}
}

// cutLook is how often a handshake that hears nothing looks whether the cut is
// over: then it ends, for the other end may have dialled before this one was told
// of the heal, and a real network would not keep it waiting.
const cutLook = 20 * time.Millisecond

// awaitCut is a handshake that hears nothing more.
func (p *peer) awaitCut(ctx context.Context, limit time.Duration) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	look := time.NewTicker(cutLook)
	defer look.Stop()
	for p.cut.Load() {
		select {
		case <-ctx.Done():
			return errCut
		case <-over.C:
			return errCut
		case <-look.C:
		}
	}
	return errCut
}
