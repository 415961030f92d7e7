package registrar

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tombolo/internal/wire"
)

// Home is the broker of this node. Its methods may be called from any goroutine.
type Home interface {
	// Release closes a client here, because epoch is granted to newHome, and
	// calls done once what is stored of it has reached every reachable member.
	Release(c wire.Client, epoch wire.Epoch, newHome wire.NodeID, done func(old wire.Epoch, existed bool, err error))
}

// Config is what a Registrar is built of. All fields but OnSynced are required.
type Config struct {
	Self wire.NodeID
	Home Home
	// Send puts a message on the control stream to a peer; false if it cannot.
	// It must not block.
	Send func(to wire.NodeID, t wire.Type, body []byte) bool
	Now  func() time.Time
	// Stamp reads the hybrid logical clock (metadata.Store.Stamp).
	Stamp func() uint64
	// OnSynced tells that the registries were exchanged with a peer that is
	// linked but not in the view, and duplicates resolved (R28). It comes again
	// while that is so. It must not block.
	OnSynced func(peer wire.NodeID)
}

// Request asks for a client id.
type Request struct {
	Client     wire.Client
	Seen       wire.Epoch  // of the session record that this node has; zero for none
	Home       wire.NodeID // in that record; 0 for none
	CleanStart bool
	Bound      bool // the session ends with its connection
	IfIdle     bool // denied with DenyEpoch if the client is connected at another node (R23)
}

// Grant is the answer yes.
type Grant struct {
	Epoch    wire.Epoch
	OldHome  wire.NodeID // 0: there was none
	OldEpoch wire.Epoch
	Closed   bool // the old home confirmed that the client is closed there; else it is down by verdict
}

// Denied is the answer no.
type Denied struct {
	Reason wire.DenyReason
	Home   wire.NodeID // a node that holds the id, or does not answer; 0 if none is known
	Text   string
}

// Error is the sentence for the client.
func (d *Denied) Error() string { return d.Text }

// Registrar runs a Core. Safe for concurrent use.
type Registrar struct {
	config Config
	core   *Core // owned by Run
	wake   chan struct{}
	ended  chan struct{} // closed when Run is over
	mu     struct {
		sync.Mutex
		inbox []func(at At, e *Effects)
		calls map[uint64]chan<- Answer
		next  uint64
		stats Stats
	}
}

// New makes a registrar of a node that knows of nobody else yet.
func New(c Config) *Registrar {
	r := &Registrar{config: c, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	r.core = NewCore(c.Self)
	r.mu.calls = make(map[uint64]chan<- Answer)
	return r
}

// post hands fn to the goroutine that owns the core, in the order of the calls.
// Bound: callers are workers and link lanes, each of which has one in here, and
// what the broker tells of its clients.
func (r *Registrar) post(fn func(at At, e *Effects)) {
	r.mu.Lock()
	r.mu.inbox = append(r.mu.inbox, fn)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run decides until ctx ends.
func (r *Registrar) Run(ctx context.Context) error {
	defer close(r.ended)
	tick := time.NewTicker(TickEvery)
	defer tick.Stop()
	var ticks <-chan time.Time // nil while nothing waits for time
	for {
		e := &Effects{}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
			r.core.Tick(r.at(), e)
		case <-r.wake:
			r.drain(e)
		}
		r.perform(e)
		ticks = nil
		if r.core.Waiting() {
			ticks = tick.C
		}
	}
}

func (r *Registrar) at() At { return At{Now: r.config.Now().UnixMilli(), Stamp: r.config.Stamp()} }

func (r *Registrar) drain(e *Effects) {
	r.mu.Lock()
	list := r.mu.inbox
	r.mu.inbox = nil
	r.mu.Unlock()
	for _, fn := range list {
		fn(r.at(), e)
	}
}

func (r *Registrar) perform(e *Effects) {
	for i := range e.Send {
		m := &e.Send[i]
		if !r.config.Send(m.To, m.Type, m.Body) {
			r.core.Unsent()
		}
	}
	for _, rel := range e.Release {
		token := rel.Token
		r.config.Home.Release(rel.Client, rel.Epoch, rel.NewHome, func(old wire.Epoch, existed bool, err error) {
			r.post(func(at At, e *Effects) { r.core.ReleaseDone(token, old, existed, err == nil, at, e) })
		})
	}
	r.mu.Lock()
	var unused []Answer
	for _, a := range e.Answers {
		if ch := r.mu.calls[a.Call]; ch != nil {
			delete(r.mu.calls, a.Call)
			ch <- a
		} else if a.Denied == nil {
			unused = append(unused, a)
		}
	}
	r.mu.stats = r.core.Stats()
	r.mu.Unlock()
	for _, a := range unused {
		r.Gone(a.Client, a.Grant.Epoch)
	}
	if r.config.OnSynced != nil {
		for _, p := range e.Synced {
			r.config.OnSynced(p)
		}
	}
}

// Register asks for a client id and blocks until the answer, at most AnswerMax
// or until ctx ends. Whoever is granted an id tells by Connected or Gone what
// came of it. The error is a *Denied.
func (r *Registrar) Register(ctx context.Context, q Request) (Grant, error) {
	answer := make(chan Answer, 1)
	r.mu.Lock()
	r.mu.next++
	call := r.mu.next
	r.mu.calls[call] = answer
	r.mu.Unlock()
	r.post(func(at At, e *Effects) { r.core.Ask(call, q, at, e) })
	select {
	case a := <-answer:
		if a.Denied != nil {
			return Grant{}, a.Denied
		}
		return a.Grant, nil
	case <-ctx.Done():
	case <-r.ended:
	}
	r.mu.Lock()
	delete(r.mu.calls, call)
	r.mu.Unlock()
	select {
	case a := <-answer: // it came in the same instant
		if a.Denied == nil {
			return a.Grant, nil
		}
	default:
	}
	r.post(func(at At, e *Effects) { r.core.Cancel(call, at, e) })
	return Grant{}, &Denied{Reason: wire.DenyBusy, Text: "the client id could not be registered in time"}
}

// Connected tells that a client which was granted is connected here.
func (r *Registrar) Connected(c wire.Client, epoch wire.Epoch, bound bool) {
	r.post(func(at At, e *Effects) { r.core.Connected(c, epoch, bound, at, e) })
}

// Gone tells that a client is not connected here any more, or that a grant was
// not used.
func (r *Registrar) Gone(c wire.Client, epoch wire.Epoch) {
	r.post(func(at At, e *Effects) { r.core.Gone(c, epoch, at, e) })
}

// Receive takes a message of a peer from the control stream. The error says
// that it makes no sense.
func (r *Registrar) Receive(from wire.NodeID, t wire.Type, body []byte) error {
	m, err := Parse(t, body)
	if err != nil {
		return fmt.Errorf("registrar: %s of %x: %w", t, uint64(from), err)
	}
	r.post(func(at At, e *Effects) { r.core.Receive(from, m, at, e) })
	return nil
}

// SetView takes a new view: when the verdict, the member set or the gate has
// changed.
func (r *Registrar) SetView(v View) {
	r.post(func(at At, e *Effects) { r.core.SetView(v, at, e) })
}

// SetLinked tells that the control connection to a peer stands anew, or is
// lost. A peer that is linked and not in the view is told who is connected here.
func (r *Registrar) SetLinked(peer wire.NodeID, up bool) {
	r.post(func(at At, e *Effects) { r.core.SetLinked(peer, up, at, e) })
}

// Stats tells what the registrar has to do.
func (r *Registrar) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.stats
}
