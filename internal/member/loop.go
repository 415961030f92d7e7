package member

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"tombolo/internal/wire"
)

// framesMax bounds the frames that wait for the loop; one more is dropped, as
// if the link had lost it.
const framesMax = 256

// mailbox holds what came from outside for the core. Guarded by mu; beyond
// frames it holds news and requests, of which every caller has a few.
type mailbox struct {
	ready chan struct{} // holds a token while there may be something
	mu    struct {
		sync.Mutex
		list   []mail
		frames int
	}
}

// mail is one thing to do with the core. Immutable.
type mail struct {
	frame bool
	fn    func(c *core)
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

func (b *mailbox) add(fn func(c *core)) { b.put(mail{fn: fn}) }

func (b *mailbox) frame(fn func(c *core)) { b.put(mail{frame: true, fn: fn}) }

func (b *mailbox) put(m mail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.frame {
		if b.mu.frames >= framesMax {
			return
		}
		b.mu.frames++
	}
	b.mu.list = append(b.mu.list, m)
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take removes all that waits.
func (b *mailbox) take() []mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.mu.list
	b.mu.list, b.mu.frames = nil, 0
	return list
}

// loop is Run's own state. Owned by the goroutine of Run.
type loop struct {
	*Set
	core   *core
	facts  []byte          // as they were told last
	failed chan error      // how the finder ended
	linked []wire.NodeID   // whom the others have been told to link, by id
	over   <-chan struct{} // closed when Run is to end
}

// Run serves until ctx ends, and returns when everything it started has.
func (s *Set) Run(ctx context.Context) error {
	l := &loop{Set: s, failed: make(chan error, 1)}
	ms := func(d interface{ Milliseconds() int64 }) int64 { return d.Milliseconds() }
	l.core = newCore(settings{
		interval: max(1, ms(s.config.Interval)), requestTimeout: ms(s.config.RequestTimeout),
		deadAfter: ms(s.config.DeadMemberTimeout), expected: s.config.Expected, rand: s.config.Rand,
	}, s.config.Self, s.kept)
	ctx, cancel := context.WithCancel(ctx)
	l.over = ctx.Done()
	defer cancel()
	var running sync.WaitGroup
	defer s.close()
	defer running.Wait()
	defer cancel()
	shared, err := s.table.begin()
	if err != nil {
		return err
	}
	defer s.table.end()
	if err := l.begin(shared); err != nil {
		return err
	}
	if s.gossip != nil && l.core.standing() != Removed {
		if s.gossip.transport == nil {
			if err := s.Listen(); err != nil {
				return err
			}
		}
		s.gossip.transport.run(ctx)
		running.Go(func() { l.failed <- s.finds(ctx) })
	}
	return l.run(ctx)
}

// close ends the calls that nobody will answer any more.
func (s *Set) close() {
	s.mu.Lock()
	s.mu.over = true
	calls := s.mu.calls
	s.mu.calls = map[uint64]chan error{}
	s.mu.Unlock()
	for _, done := range calls {
		done <- errStopped
	}
}

// begin says where the node stands, and lets it seek if it is to.
func (l *loop) begin(shared Record) error {
	if l.core.standing() == Removed {
		l.config.Log(slog.LevelError, removedText)
	}
	seek := l.hasSeeds() && !l.core.formed()
	if seek {
		what, err := l.table.history()
		if err != nil {
			return err
		}
		if seek = what == ""; !seek {
			l.config.Log(slog.LevelWarn, "not joining the seeds: "+historyText(what))
		}
	}
	l.table.holds = Record{Version: shared.Version, Nonce: shared.Nonce}
	return l.step(func(c *core) {
		if shared.Version != 0 {
			c.learn(&shared)
		}
		if seek {
			c.begin()
		}
	})
}

// run is the loop.
func (l *loop) run(ctx context.Context) error {
	timer := l.config.Clock.NewTimer(l.config.Interval)
	defer timer.Stop()
	var notice chan struct{}
	if l.gossip != nil {
		notice = l.gossip.notice
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-l.mailbox.ready:
			err = l.empty()
		case <-timer.C():
			timer.Reset(l.config.Interval)
			err = l.step((*core).tick)
		case <-notice:
			err = l.step(l.look)
		case <-l.table.ready():
			err = l.read()
		case err = <-l.failed:
		case e := <-l.table.written:
			l.table.wrote(e, l.config.Log)
		}
		if err != nil {
			return err
		}
	}
}

func (l *loop) empty() error {
	for _, m := range l.mailbox.take() {
		if err := l.step(m.fn); err != nil {
			return err
		}
	}
	return nil
}

// read takes what another node wrote into the table.
func (l *loop) read() error {
	r, err := l.table.take()
	if err != nil {
		l.config.Log(slog.LevelError, err.Error())
		return nil
	}
	if r.Version == 0 {
		return nil
	}
	if r.above(&l.table.holds) {
		l.table.holds = Record{Version: r.Version, Nonce: r.Nonce}
	}
	return l.step(func(c *core) { c.learn(&r) })
}

// step runs one input and does what follows, in the order that effects asks
// for.
func (l *loop) step(input func(c *core)) error {
	var out effects
	now := l.config.Clock.Now()
	l.core.step(now.Sub(l.begun).Milliseconds(), now.UnixMilli(), &out, func() { input(l.core) })
	if out.save {
		if err := l.keep(); err != nil {
			return err
		}
	}
	st := l.core.status()
	waits := st.Text
	st = l.explained(st)
	l.status.Store(st)
	for _, line := range out.log {
		if line.text == waits {
			line.text = st.Text // with what contact with others tells
		}
		l.config.Log([...]slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError}[line.severity], line.text)
	}
	l.table.write(&l.core.kept.record)
	for i := range out.changed {
		l.config.OnChange(out.changed[i].Version, copyOf(out.changed[i].Members))
	}
	for i := range out.send {
		l.config.Send(out.send[i].to, &out.send[i].m)
	}
	l.part()
	for _, e := range out.ended {
		l.answer(e.request, e.err)
	}
	l.say()
	return nil
}

// keepAgain is how long a write of what is kept rests that failed.
const keepAgain = time.Second

// keep writes what is kept, and tries again until it succeeds: a disk may be full,
// or the process out of descriptors, for a while. Nothing is said to anybody
// meanwhile. It fails when Run is to end.
func (l *loop) keep() error {
	for said := false; ; said = true {
		err := keep(l.config.Path, &l.core.kept)
		if err == nil {
			return nil
		}
		if !said {
			l.config.Log(slog.LevelError, err.Error()+"; this node takes no part in changes of the member set until that can be written; it is tried again every second")
		}
		timer := l.config.Clock.NewTimer(keepAgain)
		select {
		case <-l.over:
			timer.Stop()
			return err
		case <-timer.C():
		}
	}
}

// say gives the finder the facts, if they are others than before.
func (l *loop) say() {
	c := l.core
	f := facts{id: c.self.ID, name: c.self.Name, link: c.self.Link, version: l.config.Version,
		origin: c.kept.record.Origin, formed: c.formed(), settled: c.seek.settled}
	if !f.formed {
		f.origin = c.kept.pledge
	}
	b := appendFacts(nil, &f)
	if bytes.Equal(b, l.facts) {
		return
	}
	l.facts = b
	select {
	case <-l.Set.facts: // an older one that was not taken
	default:
	}
	l.Set.facts <- b
}
