package link

import (
	"sync"
	"sync/atomic"

	"tombolo/internal/wire"
)

const (
	streamFirst = wire.StreamControl
	streamEnd   = wire.StreamMigration + 1
)

// inbox holds what a stream has brought and its handler has not taken. It needs
// no bound of its own: the stream's credit is one. Guarded by peer.mu.
type inbox struct {
	list  []Message
	arena []byte // bodies are copied behind each other
	wake  chan struct{}
	busy  bool // the handler has one
}

// idle says that nothing is before what comes now.
func (b *inbox) idle() bool { return !b.busy && len(b.list) == 0 }

// put files a message; its body is a view, or if it came in chunks a slice of
// its own already.
func (b *inbox) put(m Message) {
	if m.whole {
		m.Body = b.keep(m.Body)
	}
	b.list = append(b.list, m)
}

// arenaBytes is the size of a piece of memory that bodies share, arenaShareMax
// the largest body that is put into one.
const (
	arenaBytes    = 64 << 10
	arenaShareMax = 8 << 10
)

// keep copies a body.
func (b *inbox) keep(body []byte) []byte {
	if len(body) > arenaShareMax {
		return append([]byte(nil), body...)
	}
	if cap(b.arena)-len(b.arena) < len(body) {
		b.arena = make([]byte, 0, arenaBytes)
	}
	at := len(b.arena)
	b.arena = append(b.arena, body...)
	return b.arena[at:len(b.arena):len(b.arena)]
}

// peer is one other node: the cores of its streams and its connections.
// Guarded by mu.
type peer struct {
	m     *Mesh
	id    NodeID
	spool chan struct{} // the spool has something to do
	event chan struct{} // the handler has something to hear
	kick  [wire.Planes]chan struct{}
	stop  func()          // ends all goroutines of the peer
	after <-chan struct{} // closed when an earlier peer for the same node has ended; nil: there was none
	ended chan struct{}   // closed when this one has, and nothing more is told of it
	width width
	cut   atomic.Bool // a rehearsal keeps everything from and to it away
	mu    struct {
		sync.Mutex
		address   string
		info      Peer
		known     bool // info is set
		conns     [wire.Planes]*connection
		judged    judgement
		gone      bool // removed from the mesh
		senders   [streamEnd]*sender
		lane      *lane // its sender is senders[StreamPublish]
		receivers [streamEnd]*receiver
		inboxes   [streamEnd]*inbox
		timed     bool // the spool's goroutine looks at the window's age by itself
		ups       uint64
		told      toldState
		lost      []ended // to be told
		lastError string
		advice    string           // what the log was told to do about it, since a link stood
		parted    string           // why the first of the two connections ended
		refused   wire.RefusalCode // why the last handshake came to nothing; 0: it did not
	}
}

// toldState is what the handler knows of a peer. A value.
type toldState struct {
	ups         uint64
	up          bool
	incarnation wire.Incarnation
}

func newPeer(m *Mesh, id NodeID, address string) *peer {
	p := &peer{m: m, id: id, spool: make(chan struct{}, 1), event: make(chan struct{}, 1), ended: make(chan struct{})}
	p.mu.address = address
	for i := range p.kick {
		p.kick[i] = make(chan struct{}, 1)
	}
	for s := streamFirst; s < streamEnd; s++ {
		p.mu.senders[s] = newSender(s, m.config.Window)
		p.mu.inboxes[s] = &inbox{wake: make(chan struct{}, 1)}
	}
	c := &m.config
	p.mu.lane = newLane(p.mu.senders[wire.StreamPublish], laneConfig{
		confirmWait: m.confirmWait.Load(), retryAfter: int64(c.RetryAfter), waitingBytes: c.WaitingBytes, durable: c.Spool.Durable(),
	}, c.Spool.Count(id))
	return p
}

// former is what a peer that was removed leaves to one that is added for the same
// node. A value.
type former struct {
	ended <-chan struct{}   // see peer.after
	next  [streamEnd]uint64 // the numbers of its streams, which go on: the node may have heard of them; 0: there was none
}

// formerLocked leaves out the numbers that it may still give.
func (p *peer) formerLocked() (f former) {
	f.ended = p.ended
	for s := streamFirst; s < streamEnd; s++ {
		f.next[s] = p.mu.senders[s].next + wire.WindowFramesMax
	}
	return f
}

// follow has a peer that does not run yet go on after an earlier one.
func (p *peer) follow(f former) {
	p.after = f.ended
	for s := streamFirst; s < streamEnd; s++ {
		if next := f.next[s]; next > 0 {
			x := p.mu.senders[s]
			x.next, x.cursor, x.highest = next, next, next-1
		}
	}
}

// signal wakes whoever waits for ch; a signal that waits already is enough.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// heldLocked says whether a process of this node id is linked and was heard of
// lately, and is another one than inc.
func (p *peer) heldLocked(inc wire.Incarnation) bool {
	for _, c := range p.mu.conns {
		if c != nil && c.info.Incarnation != inc && p.m.now()-c.heard.Load() < int64(p.m.config.HolderAlive) {
			return true
		}
	}
	return false
}

// attach makes c the connection of its plane, after whatever stood there has
// ended, so that no two readers serve one stream.
func (p *peer) attach(c *connection) {
	marks := p.marks(c.info.Incarnation)
	for {
		p.mu.Lock()
		old := p.mu.conns[c.plane]
		if other := p.mu.conns[wire.Bulk-c.plane]; old == nil && other != nil && other.info.Incarnation != c.info.Incarnation {
			old = other
		}
		if old == nil {
			p.installLocked(c, &marks)
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		old.close("replaced")
		<-old.ended
	}
}

// removed says whether the peer is no part of the mesh any more.
func (p *peer) removed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.gone
}

// installLocked begins the streams of a connection.
func (p *peer) installLocked(c *connection, marks *[streamEnd]mark) {
	fresh := !p.mu.known || p.mu.info.Incarnation != c.info.Incarnation
	if fresh {
		p.renewLocked(c.info, marks)
	}
	p.mu.info, p.mu.known, p.mu.refused = c.info, true, 0
	p.mu.conns[c.plane] = c
	c.heard.Store(p.m.now())
	for s := streamFirst; s < streamEnd; s++ {
		if s.Plane() != c.plane {
			continue
		}
		var m wire.Resume
		p.mu.receivers[s].resume(&m)
		c.urgent = appendFrame(c.urgent, c.header(), wire.TypeResume, func(dst []byte) []byte { return wire.AppendResume(dst, &m) })
	}
	p.reachLocked()
	if p.mu.conns[wire.Control] != nil && p.mu.conns[wire.Bulk] != nil {
		p.mu.ups++
		signal(p.event)
	}
	signal(c.wake)
}

// mark is how far a stream of the peer has had its effect here. A value.
type mark struct {
	through  uint64
	outcomes []wire.Outcome
}

// marks asks for the marks of an incarnation; it may read from a disk.
func (p *peer) marks(inc wire.Incarnation) (out [streamEnd]mark) {
	if a := p.m.config.Applied; a != nil {
		for s := streamFirst; s < streamEnd; s++ {
			out[s].through, out[s].outcomes = a.Through(p.id, inc, s)
		}
	}
	return out
}

// renewLocked meets another process of the peer: what it sends is judged by
// what is durable here, and what was soft for the old one is void.
func (p *peer) renewLocked(info Peer, marks *[streamEnd]mark) {
	for s := streamFirst; s < streamEnd; s++ {
		r := newReceiver(s, p.m.config.ReceiveBytes, info.Incarnation, marks[s].through, marks[s].outcomes)
		r.late = func(seq uint64, result wire.Result, reason uint8) { p.done(r, seq, result, reason) }
		p.mu.receivers[s] = r
		p.mu.inboxes[s].list = nil
	}
	if !p.mu.known {
		return // what was sent before the first contact is for this process
	}
	for _, e := range p.mu.senders[wire.StreamControl].reset(nil) {
		if e.ticket != nil {
			p.mu.lost = append(p.mu.lost, ended{entry: e, result: Lost})
		}
	}
}

// detach ends a connection's part in the streams.
func (p *peer) detach(c *connection, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.conns[c.plane] != c {
		return
	}
	p.mu.conns[c.plane] = nil
	p.mu.lastError, p.mu.advice = reason, ""
	if p.mu.conns[wire.Control] != nil || p.mu.conns[wire.Bulk] != nil {
		p.mu.parted = reason // the other one follows
	}
	for s := streamFirst; s < streamEnd; s++ {
		if s.Plane() == c.plane {
			p.mu.senders[s].disconnect()
		}
	}
	p.reachLocked()
	signal(p.event)
}

// reachLocked tells the lane whether the peer can be reached.
func (p *peer) reachLocked() {
	p.mu.lane.away = p.mu.judged.suspect || p.mu.judged.down || p.mu.conns[wire.Bulk] == nil
	signal(p.spool)
}

// judge takes what the detector thinks of the peer.
func (p *peer) judge(v judgement) {
	p.mu.Lock()
	p.mu.judged = v
	p.mu.lane.halted = v.down
	p.reachLocked()
	c := p.mu.conns[wire.Bulk]
	p.mu.Unlock()
	if c != nil {
		c.nudge(true)
	}
}

// send puts a message on a numbered stream. later: it leaves with flush, or before.
func (p *peer) send(s wire.Stream, e entry, later bool) error {
	p.mu.Lock()
	if p.mu.gone {
		p.mu.Unlock()
		return ErrUnknown
	}
	ok, spool := false, false
	if s == wire.StreamPublish {
		ok, spool = p.mu.lane.send(e)
		if !p.mu.timed && p.mu.lane.config.durable {
			p.mu.timed, spool = true, true
		}
	} else {
		ok = p.mu.senders[s].push(e)
	}
	c := p.mu.conns[s.Plane()]
	urge := false
	if c != nil {
		c.queued += len(e.body) + wire.HeaderBytes
		urge = c.queued >= batchBytes || c.out.patient // whoever sent it waits for an answer
	}
	p.mu.Unlock()
	if !ok {
		p.m.stats.unsent.Add(1)
		if s == wire.StreamPublish {
			return ErrSpoolFull
		}
		return ErrFull
	}
	if spool {
		signal(p.spool)
	}
	if c != nil && (urge || !later) {
		c.nudge(urge)
	}
	return nil
}

// flush sends what waits on a plane.
func (p *peer) flush(plane wire.Plane) {
	p.mu.Lock()
	c := p.mu.conns[plane]
	p.mu.Unlock()
	if c != nil {
		c.flush()
	}
}

// post puts a datagram on a connection's buffer; false if it is dropped.
func (p *peer) post(s wire.Stream, kind wire.Type, body []byte) bool {
	p.mu.Lock()
	c := p.mu.conns[s.Plane()]
	if c == nil || c.fullLocked(s, body) {
		p.mu.Unlock()
		p.m.stats.dropped.Add(1)
		return false
	}
	c.addDatagramLocked(s, kind, body)
	urge := c.queued >= batchBytes
	p.mu.Unlock()
	c.nudge(urge)
	return true
}

// postRun is post for the publishes of a run; they leave with flush, or before.
func (p *peer) postRun(run []byte) (dropped int) {
	p.mu.Lock()
	c := p.mu.conns[wire.Bulk]
	urge := false
	if c == nil {
		dropped = wire.Frames(run)
	} else {
		dropped = c.addRunLocked(run)
		urge = c.queued >= batchBytes
	}
	p.mu.Unlock()
	if dropped > 0 {
		p.m.stats.dropped.Add(uint64(dropped))
	}
	if urge {
		c.nudge(true)
	}
	return dropped
}

// beat puts a heartbeat before everything else.
func (p *peer) beat(h *wire.Heartbeat) {
	p.mu.Lock()
	c := p.mu.conns[h.Plane]
	if c != nil && len(c.urgent) < urgentBytesMax {
		c.urgent = appendFrame(c.urgent, c.header(), wire.TypeHeartbeat, func(dst []byte) []byte { return wire.AppendHeartbeat(dst, h) })
	}
	p.mu.Unlock()
	if c != nil {
		c.nudge(true)
	}
}

// done ends a message that the peer has sent.
func (p *peer) done(r *receiver, seq uint64, result wire.Result, reason uint8) {
	p.mu.Lock()
	r.done(seq, result, reason)
	due := r.ackDue && p.mu.receivers[r.stream] == r
	c := p.mu.conns[r.stream.Plane()]
	urge := c != nil && c.out.patient
	p.mu.Unlock()
	if due && c != nil {
		c.nudge(urge)
	}
}
