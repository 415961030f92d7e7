package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tombolo/internal/admin"
	"tombolo/internal/member"
	"tombolo/internal/wire"
	"tombolo/mqtt/broker"
)

// leaveFile, in the data directory, says that this node is to leave its cluster,
// so that it goes on with it after a restart.
const leaveFile = "leave"

// The phases of leaving, as they are shown.
const (
	phaseBegin     = "starting"
	phaseListeners = "listeners closed" // sessions live on; it waits for -k
	phaseClients   = "clients reconnect"
	phaseMoving    = "moving"
	phaseLast      = "handing over" // what is on its way to others
	phaseRemoval   = "removal"      // from the member set
	phaseGone      = "gone"
)

// Times of leaving.
const (
	leavePause   = 200 * time.Millisecond // between two steps
	leaveCall    = 10 * time.Second       // for one change of the member set, or one question
	leaveLinger  = 1500 * time.Millisecond
	leaveAskMax  = 8 * time.Second // an answer is lost with its link
	leaveTimeout = 60 * time.Second
)

// leaveOrder is what an operator wants. A value.
type leaveOrder struct {
	Kill    bool          `json:"kill_sessions"`
	Timeout time.Duration `json:"timeout"` // from Began to the move by force
	Began   time.Time     `json:"began"`   // when the clients were sent away
}

// leaving takes a node out of its cluster, step by step, in VerneMQ's order:
// listeners close; clients are sent away and come back elsewhere, which takes
// their sessions there; what is left after the timeout is moved by force; then
// the node is removed from the member set and ends. Each step looks at how things
// are, so that it goes on wherever it was. Safe for concurrent use; what Run
// alone touches says so.
type leaving struct {
	n    *Node
	path string
	wake chan struct{}
	gone chan struct{} // closed when the node is no member any more

	away     map[broker.Key]struct{} // sessions whose clients were sent away; owned by Run
	restored bool                    // the process was started while leaving: who was sent away is not known; owned by Run

	mu struct {
		sync.Mutex
		order   *leaveOrder // nil: the node is to stay
		stop    context.CancelFunc
		phase   string
		trouble string // why the last step did not do what it should
		final   bool   // its removal was asked for
	}
}

func newLeaving(n *Node) *leaving {
	return &leaving{n: n, path: filepath.Join(n.set.String("data_dir"), leaveFile), wake: make(chan struct{}, 1),
		gone: make(chan struct{}), away: map[broker.Key]struct{}{}}
}

// load reads what an earlier process was told.
func (l *leaving) load() error {
	body, err := os.ReadFile(l.path)
	order := &leaveOrder{}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if l.state() != wire.MemberLeaving {
			return nil
		}
	case err != nil:
		return fmt.Errorf("what this node is to do: %w", err)
	default:
		if err := json.Unmarshal(body, order); err != nil {
			return fmt.Errorf("%s: %w; remove it if this node is not to leave its cluster", l.path, err)
		}
	}
	l.restored = true
	l.mu.order, l.mu.phase = order, phaseBegin
	return nil
}

// suspended says that the node opens no listener for clients: it leaves, or has
// left.
func (l *leaving) suspended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.order != nil || l.standing() == member.Removed
}

func (l *leaving) standing() member.Standing { return l.n.cluster.Members().Status().Standing }

// state is this node's in the member record.
func (l *leaving) state() wire.MemberState {
	_, list := l.n.cluster.Members().Current()
	for _, m := range list {
		if uint64(m.ID) == l.n.id {
			return m.State
		}
	}
	return wire.MemberJoined
}

// begin takes an operator's order. With kill an earlier one goes on to the next
// step.
func (l *leaving) begin(kill bool, timeout time.Duration) error {
	s := l.n.cluster.Status()
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.mu.order
	switch {
	case l.standing() != member.Joined:
		return admin.Conflict("", "this node is no member of a cluster: %s", cmp.Or(s.Waits, s.Standing))
	case len(s.Members) < 2:
		return admin.Conflict("to do without it, just stop it", "this node is the last member of its cluster: nobody could take its sessions")
	case old != nil && (old.Kill || !kill):
		return admin.Conflict("tombolo cluster leave --status shows how far it is, --abort ends it", "this node leaves its cluster already")
	case len(l.n.targets()) == 0:
		return admin.Conflict("tombolo cluster show tells who is reached", "no other joined member is reached that could take this node's sessions")
	}
	order := &leaveOrder{Kill: kill, Timeout: timeout, Began: time.Now()}
	if err := l.keep(order); err != nil {
		return err
	}
	l.mu.order, l.mu.phase, l.mu.trouble = order, phaseBegin, ""
	if l.mu.stop != nil {
		l.mu.stop()
	}
	l.nudge()
	l.n.logger.Warn("this node leaves its cluster", "kill_sessions", kill, "timeout", timeout)
	return nil
}

// keep writes an order before anything is done about it.
func (l *leaving) keep(order *leaveOrder) error {
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(l.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(body, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(l.path+".new", l.path)
}

// abort has the node stay. It returns when it is joined and serves again.
func (l *leaving) abort(ctx context.Context) error {
	l.mu.Lock()
	switch {
	case l.mu.order == nil:
		l.mu.Unlock()
		return admin.Conflict("", "this node does not leave its cluster")
	case l.mu.final:
		l.mu.Unlock()
		return admin.Conflict("it joins again as a new node, with an empty data directory", "it is too late: this node holds nothing any more, and the others take it out of the member set")
	}
	if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.mu.Unlock()
		return err
	}
	l.mu.order, l.mu.phase, l.mu.trouble = nil, "", ""
	if l.mu.stop != nil {
		l.mu.stop()
	}
	l.mu.Unlock()
	l.nudge()
	l.n.logger.Warn("this node stays in its cluster: leaving was aborted")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !l.n.ports.accepting.Load() || l.state() != wire.MemberJoined {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("leaving is aborted, and the node is not joined yet: %s", l.progress().Trouble)
		}
	}
	return nil
}

// text says that the node leaves; "" if it does not.
func (l *leaving) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.order == nil {
		return ""
	}
	return "this node leaves its cluster, so that its listeners are closed"
}

func (l *leaving) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// progress is how far it is.
func (l *leaving) progress() admin.LeaveProgress {
	l.mu.Lock()
	out := admin.LeaveProgress{Phase: l.mu.phase, Trouble: l.mu.trouble}
	if o := l.mu.order; o != nil {
		out.Leaving, out.KillSessions = true, o.Kill
		if o.Kill {
			out.Deadline = o.Began.Add(o.Timeout)
		}
	}
	l.mu.Unlock()
	if l.standing() == member.Removed {
		out.Phase = phaseGone
	}
	r := l.n.broker.Remaining()
	out.Online, out.Sessions, out.Messages = r.Online, r.Sessions, r.Messages
	return out
}

// Run takes steps until ctx ends or the node has left.
func (l *leaving) Run(ctx context.Context) error {
	for {
		l.mu.Lock()
		order := l.mu.order
		step, stop := context.WithCancel(ctx)
		l.mu.stop = stop
		l.mu.Unlock()
		var again <-chan time.Time
		err := l.turn(step, order)
		left := err == nil && order != nil && l.standing() == member.Removed
		if order != nil || err != nil {
			again = time.After(leavePause)
		}
		l.note(order, err)
		stop()
		if left {
			return l.end(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-again:
		}
	}
}

// turn does what is next to do about an order, or about none.
func (l *leaving) turn(ctx context.Context, order *leaveOrder) error {
	if order != nil {
		return l.step(ctx, order)
	}
	clear(l.away)
	if l.standing() != member.Joined {
		return nil
	}
	if l.state() == wire.MemberLeaving {
		if err := l.become(ctx, wire.MemberJoined); err != nil {
			return err
		}
	}
	return l.n.ports.resume()
}

// become changes this node's state in the member record.
func (l *leaving) become(ctx context.Context, state wire.MemberState) error {
	ctx, cancel := context.WithTimeout(ctx, leaveCall)
	defer cancel()
	return l.n.cluster.Members().SetState(ctx, state)
}

// note keeps why a step failed, for the operator, and logs it once.
func (l *leaving) note(order *leaveOrder, err error) {
	text := ""
	if err != nil && !errors.Is(err, context.Canceled) {
		text = err.Error()
	}
	l.mu.Lock()
	if l.mu.order != order {
		text = "" // it is about what is not wanted any more
	}
	fresh := text != l.mu.trouble
	l.mu.trouble = text
	l.mu.Unlock()
	switch {
	case !fresh || text == "":
	case order == nil:
		l.n.logger.Warn("listeners are not open yet", "for", text)
	default:
		l.n.logger.Warn("leaving the cluster waits", "for", text)
	}
}

func (l *leaving) enter(phase string) {
	l.mu.Lock()
	fresh := l.mu.phase != phase
	l.mu.phase = phase
	l.mu.Unlock()
	if fresh {
		r := l.n.broker.Remaining()
		l.n.logger.Info("leaving the cluster", "phase", phase, "online", r.Online, "sessions", r.Sessions, "messages", r.Messages)
	}
}

// end lets the last answers out and ends the node.
func (l *leaving) end(ctx context.Context) error {
	l.enter(phaseGone)
	if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.n.logger.Warn("a file is left over", "path", l.path, "error", err)
	}
	linger := time.NewTimer(leaveLinger) // for whoever asks how far it is
	defer linger.Stop()
	select {
	case <-linger.C:
	case <-ctx.Done():
	}
	l.n.logger.Warn("this node has left its cluster and holds nothing of it any more; it ends")
	close(l.gone)
	return nil
}
