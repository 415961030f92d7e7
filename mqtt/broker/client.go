package broker

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/conn"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
	"tombolo/queue"
)

// client is one session: its protocol state, its queue, and the connection it
// has at the moment. Guarded by *mu, except for what is said to be immutable
// or atomic.
type client struct {
	key     Key    // immutable
	mount   *mount // immutable
	durable bool   // immutable: the queue is in the store
	mu      *sync.Mutex
	own     sync.Mutex // what mu points to if the session outlives connections

	core    session.Session
	queue   *queue.Queue
	qid     queue.QueueID // immutable
	onOp    queue.Answer  // immutable
	conn    conn.Conn     // nil: no connection
	peer    *peer
	id      *Identity
	touched uint64 // the round that will flush conn

	subs           map[string]topic.Options
	owed           map[string]*owed  // retained messages for filters of subs that are yet to come; of a durable session
	pending        map[string]*wish  // the last of each filter that is not answered yet
	changes        uint64            // of subs and owed
	floor          metadata.Epoch    // up to which subs was compared with the tables
	record         *metadata.Session // what is stored; nil: nothing
	granted        metadata.Epoch    // of its last connection
	expiry         uint32            // seconds the session outlives its connection
	will           *session.Will
	willAt         int64          // unix ms when a delayed will is due; 0 not armed
	willEpoch      metadata.Epoch // of the connection that left the will
	willFired      metadata.Epoch // of the will that was published here last
	connectedAt    int64          // unix ms
	disconnectedAt int64          // unix ms; 0 connected
	armedAt        int64          // unix ms of the next sessionCheck; 0 none
	ended          bool           // not in the registry any more
	retained       []retainedJob  // subscriptions that wait for retained messages
	unsent         int            // how many those are, with what the worker has in hand
	retaining      bool           // a worker sees to them

	online    atomic.Bool // a hint for shared subscriptions
	remote    *remote     // immutable; not nil: it stands for another node and is in no registry
	moving    atomic.Bool // the session is on its way from or to another node: shift says how it is shared out
	shift     atomic.Pointer[shift]
	blocks    blocks
	awaits    map[wire.NodeID]metadata.Epoch // nodes that may still send a part of the queue, and since which move
	idsFrom   wire.NodeID                    // the node that its QoS 2 packet ids come from; 0: they are here
	idsUntil  int64                          // unix ms; no longer than that
	importing int                            // parts of its queue that are being stored
	paused    chan struct{}                  // not nil: the queue is being opened anew, who wants to append waits for its end
	grouped   int                            // shared subscriptions among subs
	anyBegun  atomic.Bool                    // begun is not empty
	begun     map[packet.ID]queue.MessageID  // what its client has to send again, under the same id (R4)
	lined     atomic.Bool                    // line is not empty, or being worked off
	line      *line                          // publishes that wait before they have any effect; nil: none ever did
	fresh     *fresh                         // what came while retained messages are sent; nil: none are
}

// errors that connections are closed with; OnClose sees them again.
var (
	errKicked = errors.New("connection ended by the broker")
)

// lingerMax bounds how long a last packet may take to leave.
const lingerMax = 2 * time.Second

// append puts what a step sends into the outbox of the connection and returns
// how many bytes that is; the caller holds c.mu.
func (c *client) append(e *session.Effects) (size int) {
	l := c.conn.Locker()
	if l != c.mu {
		l.Lock()
		defer l.Unlock()
	}
	from := 0
	for i := range e.Bodies {
		b := &e.Bodies[i]
		c.conn.Append(e.Out[from:b.At])
		c.conn.AppendShared(b.Payload)
		from = b.At
		size += len(b.Payload)
	}
	c.conn.Append(e.Out[from:])
	return size + len(e.Out)
}

// buffered is what the client has not taken yet; the caller holds c.mu.
func (c *client) buffered() int {
	l := c.conn.Locker()
	if l != c.mu {
		l.Lock()
		defer l.Unlock()
	}
	return c.conn.Buffered()
}

// part ends c's connection from inside a step: the session is detached at
// once, the rest happens when no lock is held. The caller holds c.mu.
func (b *Broker) part(c *client, e *session.Effects, r *round) {
	if e.HasSessionExpiry {
		c.expiry = e.SessionExpiry
	}
	b.count.closed[closeLabel(&e.Close)].Inc()
	c.peer.logClose(&e.Close)
	conn := c.conn
	b.detach(c, e.Close, r)
	conn.Shutdown(errKicked, lingerMax)
}

// detach takes the connection from c and files the departure. The caller holds
// c.mu and c has a connection.
func (b *Broker) detach(c *client, cl session.Close, r *round) {
	c.core.Detach(r.now)
	if c.durable && c.queue.HasOps() {
		r.ops = c.queue.Ops(r.ops[:0])
		b.cfg.Queue.Do(c.qid, r.ops, c.onOp)
	}
	c.conn, c.peer = nil, nil
	b.setOnline(c, false)
	b.dropLine(c)
	c.disconnectedAt = r.now
	b.gauge.online.Add(-1)
	ended := c.expiry == 0
	if ended {
		c.ended = true
	}
	r.after = append(r.after, departure{client: c, close: cl, ended: ended, granted: c.granted})
}

// closeLabel gives the label under which an end is counted.
func closeLabel(c *session.Close) string {
	if c.Client {
		return closeClient
	}
	switch c.Reason {
	case packet.SessionTakenOver:
		return closeTakeover
	case packet.KeepAliveTimeout:
		return closeKeepAlive
	case packet.ServerShuttingDown:
		return closeShutdown
	case packet.ServerMoved:
		return closeMoved
	case packet.AdministrativeAction:
		return closeAdmin
	case packet.QuotaExceeded:
		return closeSlow
	default:
		return closeProtocol
	}
}

// connected reports whether c has a connection.
func (c *client) connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil
}

// kick ends c's connection, if it is still that of p (or p is nil).
func (b *Broker) kick(c *client, p *peer, reason packet.ReasonCode, detail string, r *round) bool {
	r.lock(c)
	defer r.unlock(c)
	if c.conn == nil || (p != nil && c.peer != p) {
		return false
	}
	r.other.Reset()
	c.core.Disconnect(reason, detail, &r.other)
	b.emit(c, &r.other, r)
	return true
}
