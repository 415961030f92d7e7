package link

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/wire"
)

// The faults of sending.
var (
	ErrUnknown = errors.New("link: no such peer")
	ErrFull    = errors.New("link: the window of the stream is full")
	ErrStream  = errors.New("link: not a numbered stream")
)

// Mesh is this node's end of the links. Safe for concurrent use.
type Mesh struct {
	config      Config
	stats       stats
	beats       chan heardBeat
	judgements  chan func(now int64)
	stopped     chan struct{} // closed when Run is over
	begun       time.Time     // what now counts from
	running     sync.WaitGroup
	confirmWait atomic.Int64 // ns
	complaints  complaints
	peersByID   atomic.Pointer[map[NodeID]*peer] // replaced as a whole, under mu: each message looks here
	mu          struct {
		sync.RWMutex
		listener net.Listener
		judged   map[NodeID]judgement // also of nodes that are no peers yet
		former   map[NodeID]former    // of peers that were removed
		ctx      context.Context      // while Run runs
		over     bool
	}
}

// New makes a mesh and refuses a configuration that would expose the node.
func New(c Config) (*Mesh, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.defaults()
	m := &Mesh{config: c, beats: make(chan heardBeat, beatsMax), judgements: make(chan func(int64)), stopped: make(chan struct{})}
	m.begun = c.Clock.Now()
	m.peersByID.Store(&map[NodeID]*peer{})
	m.mu.judged = map[NodeID]judgement{}
	m.mu.former = map[NodeID]former{}
	m.confirmWait.Store(int64(c.ConfirmWait))
	return m, nil
}

// now is nanoseconds since the mesh was made, by the monotonic clock.
func (m *Mesh) now() int64 { return int64(m.config.Clock.Now().Sub(m.begun)) }

// Listen opens the listener, so that the port is known and a fault is told
// before Run.
func (m *Mesh) Listen() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", m.config.Bind)
	if err != nil {
		return err
	}
	m.mu.listener = l
	if m.config.Advertise == "" {
		m.config.Advertise = l.Addr().String()
	}
	return nil
}

// Addr is where the mesh listens, once Listen has succeeded.
func (m *Mesh) Addr() net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.listener.Addr()
}

// Run serves until ctx ends, and returns when everything it started has.
func (m *Mesh) Run(ctx context.Context) error {
	if err := m.Listen(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	l := m.mu.listener
	m.mu.ctx = ctx
	list := m.peers()
	m.mu.Unlock()
	for _, p := range list {
		p.run(ctx)
	}
	m.goes(func() { m.accepts(ctx, l) })
	if m.config.Detector != nil {
		m.goes(func() { m.detects(ctx) })
	}
	<-ctx.Done()
	_ = l.Close()
	m.mu.Lock()
	m.mu.over = true
	list = m.peers()
	m.mu.Unlock()
	m.running.Wait()
	for _, p := range list {
		p.lose()
	}
	close(m.stopped)
	return nil
}

// goes starts a goroutine that Run waits for.
func (m *Mesh) goes(fn func()) {
	m.running.Add(1)
	go func() {
		defer m.running.Done()
		fn()
	}()
}

// AddPeer makes a node part of the mesh, or gives it another address. The mesh
// reaches for it at once and for ever.
func (m *Mesh) AddPeer(id NodeID, address string) error {
	if id == m.config.Node || id == 0 {
		return ErrUnknown
	}
	m.mu.Lock()
	if m.mu.over {
		m.mu.Unlock()
		return ErrUnknown
	}
	p := m.peer(id)
	ctx := m.mu.ctx
	fresh := p == nil
	if fresh {
		m.mu.Unlock()
		p = newPeer(m, id, address) // asks the spool, which may take its time
		m.mu.Lock()
		if m.peer(id) != nil || m.mu.over {
			m.mu.Unlock()
			return nil // somebody else was faster
		}
		m.putLocked(id, p)
		p.follow(m.mu.former[id])
		p.judge(m.mu.judged[id])
		ctx = m.mu.ctx
		if ctx != nil {
			m.running.Add(1) // before Run can wait
		}
	}
	m.mu.Unlock()
	if fresh {
		if ctx != nil {
			p.run(ctx)
			m.running.Done()
		}
		return nil
	}
	p.mu.Lock()
	p.mu.address = address
	p.mu.Unlock()
	m.Kick(id)
	return nil
}

// RemovePeer lets a node go that is no member any more; if its link stood the handler
// hears of its end. What waits for it in memory is lost; what is in the spool is the
// spool's owner's to redirect.
func (m *Mesh) RemovePeer(id NodeID) {
	m.mu.Lock()
	p := m.peer(id)
	m.putLocked(id, nil)
	delete(m.mu.judged, id)
	if p == nil {
		m.mu.Unlock()
		return
	}
	p.mu.Lock()
	stop := p.stop
	p.mu.gone = true
	m.mu.former[id] = p.formerLocked()
	p.mu.Unlock()
	m.mu.Unlock()
	if stop != nil {
		stop() // and what runs ends what it holds
		return
	}
	p.lose()
	close(p.ended)
}

// Kick ends a back-off: there is news of the peer.
func (m *Mesh) Kick(id NodeID) {
	if p := m.peer(id); p != nil {
		for _, k := range p.kick {
			signal(k)
		}
	}
}

// SetConfirmWait changes after how long a message goes to the spool that the peer
// has not confirmed (R9), from the next look at each on.
func (m *Mesh) SetConfirmWait(d time.Duration) {
	m.confirmWait.Store(int64(d))
	for _, p := range m.peers() {
		p.mu.Lock()
		p.mu.lane.config.confirmWait = int64(d)
		signal(p.spool)
		p.mu.Unlock()
	}
}

// judgement is what the detector thinks of a node. A value.
type judgement struct{ suspect, down bool }

// SetJudgement tells what the detector thinks of a node, which may not be a peer
// yet. While it is suspect or down new messages for it go to the spool at once
// (R9). While it is down nothing leaves on the publish stream, even if there is a
// connection: what waits comes after the tables have met, so that it can go where
// they say by then (R11, R28).
func (m *Mesh) SetJudgement(id NodeID, suspect, down bool) {
	v := judgement{suspect, down}
	m.mu.Lock()
	m.mu.judged[id] = v
	p := m.peer(id)
	m.mu.Unlock()
	if p != nil {
		p.judge(v)
	}
}

// Send puts a message on a numbered stream. The body must not change until the
// ticket has ended; it may be shared by messages to several peers. An error
// means that nothing was taken: the window is full, or on StreamPublish the
// spool is (R11).
func (m *Mesh) Send(to NodeID, s wire.Stream, kind wire.Type, body []byte, t Ticket) error {
	return m.send(to, s, kind, body, t, false)
}

// SendPublish is Send on wire.StreamPublish for one of several: it leaves with
// Flush, or before.
func (m *Mesh) SendPublish(to NodeID, body []byte, t Ticket) error {
	return m.send(to, wire.StreamPublish, wire.TypePublish, body, t, true)
}

func (m *Mesh) send(to NodeID, s wire.Stream, kind wire.Type, body []byte, t Ticket, later bool) error {
	p := m.peer(to)
	switch {
	case p == nil:
		return ErrUnknown
	case !s.Numbered():
		return ErrStream
	case len(body) > wire.MessageBytesMax:
		return errTooLong
	}
	return p.send(s, entry{kind: kind, body: body, ticket: t, pushedAt: m.now()}, later)
}

// Post sends a message that nothing confirms, on wire.StreamMetadata or
// wire.StreamFast; false if it was dropped here. The body is copied.
func (m *Mesh) Post(to NodeID, s wire.Stream, kind wire.Type, body []byte) bool {
	p := m.peer(to)
	return p != nil && (s == wire.StreamMetadata || s == wire.StreamFast) && p.post(s, kind, body)
}

// PostPublish sends the messages of a run (wire.OpenFrame) on wire.StreamFast; they
// leave with Flush, or before. It returns how many were dropped here. The run is
// copied, and written to.
func (m *Mesh) PostPublish(to NodeID, run []byte) (dropped int) {
	p := m.peer(to)
	if p == nil {
		return wire.Frames(run)
	}
	return p.postRun(run)
}

// Flush sends the publishes that wait for a peer. If the link was quiet, which
// costs a lone message least, it is the caller who writes. It never blocks.
func (m *Mesh) Flush(to NodeID) {
	if p := m.peer(to); p != nil {
		p.flush(wire.Bulk)
	}
}

// Admits says whether a message for a peer that needs the spool would find
// room there (R11): what the gate asks before it admits a publish.
func (m *Mesh) Admits(to NodeID) bool {
	p := m.peer(to)
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.mu.lane.behind() || !p.mu.lane.full && p.mu.lane.waitingBytes < m.config.WaitingBytes
}

func (m *Mesh) peer(id NodeID) *peer { return (*m.peersByID.Load())[id] }

// putLocked files a peer; nil takes it out.
func (m *Mesh) putLocked(id NodeID, p *peer) {
	next := maps.Clone(*m.peersByID.Load())
	if p == nil {
		delete(next, id)
	} else {
		next[id] = p
	}
	m.peersByID.Store(&next)
}

func (m *Mesh) peers() []*peer {
	byID := *m.peersByID.Load()
	list := make([]*peer, 0, len(byID))
	for _, p := range byID {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
	return list
}

// lose ends what the peer can no longer end, when nothing of it runs any more.
func (p *peer) lose() {
	p.mu.Lock()
	p.mu.gone = true
	list := p.mu.lost
	p.mu.lost = nil
	for s := streamFirst; s < streamEnd; s++ {
		for _, e := range p.mu.senders[s].reset(nil) {
			list = append(list, ended{entry: e, result: Lost})
		}
	}
	l := p.mu.lane
	for i := range l.waiting {
		list = append(list, ended{entry: l.waiting[i], result: Lost})
	}
	for i := range l.parked {
		list = append(list, ended{entry: l.parked[i].entry, result: Lost})
	}
	for _, t := range l.held {
		list = append(list, ended{entry: entry{ticket: t}, result: Lost})
	}
	p.mu.lane = newLane(p.mu.senders[wire.StreamPublish], l.config, 0)
	p.mu.Unlock()
	for i := range list {
		if t := list[i].ticket; t != nil {
			t.Ended(p.id, list[i].result, list[i].reason)
		}
	}
	if len(list) > 0 {
		p.m.config.Handler.Drained(p.id)
	}
}
