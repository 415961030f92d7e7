package node

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"time"

	"tombolo/internal/admin"
	"tombolo/internal/member"
	"tombolo/internal/wire"
	"tombolo/mqtt/broker"
	"tombolo/queue"
)

// step does what comes next; it is called again and again.
func (l *leaving) step(ctx context.Context, order *leaveOrder) error {
	n := l.n
	n.ports.suspend()
	switch s := n.cluster.Members().Status(); s.Standing {
	case member.Joined:
	case member.Removed:
		return nil
	default:
		return fmt.Errorf("this node is not with the others yet: %s", s.Text)
	}
	if state := l.state(); state != wire.MemberLeaving {
		if state != wire.MemberJoined {
			return fmt.Errorf("this node has not caught up with the others since its start")
		}
		if err := l.become(ctx, wire.MemberLeaving); err != nil {
			return err
		}
	}
	if !order.Kill {
		l.enter(phaseListeners)
		return nil
	}
	for _, k := range n.broker.SendAway() {
		l.away[k] = struct{}{}
	}
	left := n.broker.Remaining()
	switch {
	case left.Sessions > 0 && time.Since(order.Began) < order.Timeout && l.someoneReturns():
		l.enter(phaseClients)
		return nil
	case left.Sessions > 0 || left.Online > 0:
		l.enter(phaseMoving)
		return n.broker.Evacuate(ctx, broker.Evacuation{Target: l.target(), Adopt: l.adopt})
	}
	l.enter(phaseLast)
	if err := l.handedOver(); err != nil {
		return err
	}
	return l.removal(ctx)
}

// someoneReturns says that a client which was sent away may still come back at
// another node, which would take its session there.
func (l *leaving) someoneReturns() bool {
	for k := range l.away {
		if !l.n.broker.Here(k) {
			delete(l.away, k)
		}
	}
	return len(l.away) > 0 || l.restored
}

// targets lists the members that can take sessions.
func (n *Node) targets() []wire.NodeID {
	s := n.cluster.Status()
	var out []wire.NodeID
	for _, m := range s.Members {
		if uint64(m.ID) != n.id && m.State == wire.MemberJoined && slices.Contains(s.Reachable, m.ID) {
			out = append(out, m.ID)
		}
	}
	return out
}

// target chooses for each session the member with the highest hash of both
// (rendezvous), so that sessions spread evenly.
func (l *leaving) target() func(broker.Key) wire.NodeID {
	list := l.n.targets()
	return func(k broker.Key) wire.NodeID {
		var best wire.NodeID
		var top uint64
		for _, id := range list {
			h := fnv.New64a()
			fmt.Fprintf(h, "%s\x00%s\x00%016x", k.Mountpoint, k.ClientID, uint64(id))
			if w := h.Sum64(); best == 0 || w > top {
				best, top = id, w
			}
		}
		return best
	}
}

// adopt has another node become the home of sessions.
func (l *leaving) adopt(ctx context.Context, to wire.NodeID, list []broker.Key) error {
	q := admin.Adoption{From: fmt.Sprintf("%016x", l.n.id)}
	for _, k := range list {
		q.Clients = append(q.Clients, admin.ClientName{Mountpoint: k.Mountpoint, ClientID: k.ClientID})
	}
	var out admin.Adopted
	if err := l.ask(ctx, to, http.MethodPost, "/api/v1/cluster/adopt", q, &out); err != nil {
		return err
	}
	if len(out.Failed) > 0 {
		return fmt.Errorf("%s does not take %d of %d sessions yet: %s", l.n.cluster.Name(to), len(out.Failed), len(list), out.Failed[0].Error)
	}
	return nil
}

// ask puts a request to another node.
func (l *leaving) ask(ctx context.Context, to wire.NodeID, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, leaveAskMax)
	defer cancel()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	status, answer, err := l.n.cluster.Ask(ctx, to, method, path, body)
	if err != nil {
		return fmt.Errorf("%s cannot be asked: %w", l.n.cluster.Name(to), err)
	}
	if status/100 != 2 {
		e := &admin.Error{Status: status}
		if json.Unmarshal(answer, e) != nil {
			e.Message = fmt.Sprintf("answer %d", status)
		}
		return fmt.Errorf("%s: %w", l.n.cluster.Name(to), e)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// handedOver says why this node cannot go yet: nothing that only it holds may be
// lost with it.
func (l *leaving) handedOver() error {
	n := l.n
	homed := 0
	if err := n.broker.Homed(func(broker.Key) bool { homed++; return true }); err != nil {
		return err
	}
	if homed > 0 {
		return fmt.Errorf("%d sessions have this node for their home in the tables", homed)
	}
	s := n.cluster.Status()
	for i := range s.Links {
		k := &s.Links[i]
		isMember := slices.ContainsFunc(s.Members, func(m wire.Member) bool { return m.ID == k.ID })
		switch name := n.cluster.Name(k.ID); {
		case !isMember:
		case k.Spooled > 0 && !k.Up:
			return fmt.Errorf("%d messages wait here for %s, which is not reached: start it, or remove it", k.Spooled, name)
		case k.Spooled > 0 || k.WindowFrames > 0 || k.WaitingToSpool > 0:
			return fmt.Errorf("messages for %s are on their way", name)
		}
	}
	var left []string
	if err := n.queue.Each(func(name string, _ queue.QueueID, _ queue.State) bool {
		left = append(left, strings.ReplaceAll(name, "\x00", "/"))
		return true
	}); err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%d queues are here without a session that is, such as %q: they belong to nobody; look at the log", len(left), left[0])
	}
	replicated := make(chan error, 1)
	n.cluster.Replicated(func(err error) { replicated <- err })
	return <-replicated
}

// removal has another member take this one out of the set: it goes on telling it
// to all when this one is gone.
func (l *leaving) removal(ctx context.Context) error {
	l.mu.Lock()
	if ctx.Err() != nil {
		l.mu.Unlock()
		return ctx.Err()
	}
	l.mu.final, l.mu.phase = true, phaseRemoval
	l.mu.Unlock()
	var err error
	for _, to := range l.n.targets() {
		err = l.ask(ctx, to, http.MethodDelete, fmt.Sprintf("/api/v1/cluster/members/%016x", l.n.id), nil, nil)
		if l.standing() == member.Removed {
			return nil
		}
		if err == nil {
			return fmt.Errorf("%s has taken this node out of the member set, and this node has yet to hear it", l.n.cluster.Name(to))
		}
	}
	if err == nil {
		err = fmt.Errorf("no joined member is reached")
	}
	return err
}

// Adopt implements admin.Cluster.
func (v clusterView) Adopt(ctx context.Context, from string, list []admin.ClientName) (failed []admin.AdoptionFault, err error) {
	id, err := v.find(from)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(list))
	done := make(chan struct{}, len(list))
	for i, s := range list {
		go func() {
			errs[i] = v.n.broker.Adopt(ctx, broker.Key{Mountpoint: s.Mountpoint, ClientID: s.ClientID}, id)
			done <- struct{}{}
		}()
	}
	for range list {
		<-done
	}
	for i, e := range errs {
		if e != nil {
			failed = append(failed, admin.AdoptionFault{ClientName: list[i], Error: e.Error()})
		}
	}
	return failed, nil
}

// Leave implements admin.Cluster.
func (v clusterView) Leave(_ context.Context, o admin.LeaveOrder) error {
	timeout := leaveTimeout
	if o.TimeoutSeconds != nil {
		timeout = time.Duration(*o.TimeoutSeconds) * time.Second
	}
	return v.n.leaving.begin(o.KillSessions, timeout)
}

// AbortLeave implements admin.Cluster.
func (v clusterView) AbortLeave(ctx context.Context) error { return v.n.leaving.abort(ctx) }

// Leaving implements admin.Cluster.
func (v clusterView) Leaving() admin.LeaveProgress { return v.n.leaving.progress() }
