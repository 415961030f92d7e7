package broker

import (
	"sync"
	"sync/atomic"

	"tombolo/internal/conn"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/queue"
)

// round is the scratch space of one run through packets: one read of a
// connection, one commit, one timer. Owned by the goroutine that took it.
type round struct {
	id  uint64 // unique for each use
	now int64  // unix ms

	own   session.Effects // of the session whose packet is stepped
	other session.Effects // of receivers

	outgoing session.Outgoing
	message  *queue.Message // the message being routed, once it is needed
	targets  []queue.Target
	durable  []*client // beside targets
	receive  []receiver
	away     []frameTo
	names    []byte // of groups in away
	mount    *mount // of the last arrival
	head     plainHead
	arena    []byte         // of frames that links hold on to
	arrived  packet.Publish // of another node
	live     []byte         // the topic of what is being routed, if it is retained
	mark     valueMark      // of that value
	ops      []queue.Op
	touched  []conn.Conn
	links    []linked // nodes that something waits for
	after    []departure

	locked *client // whose lock this goroutine holds, for recovery from a panic
	sent   [3]uint64
	out    uint64
}

// receiver is one delivery that was chosen but not made yet.
type receiver struct {
	client *client
	qos    uint8
	retain bool
	has    bool // it was sent this as a retained message already
	asked  bool // its queue was asked for a place before, and place is the answer
	place  bool
	ids    []uint32
}

// departure is a connection that ended during the round, to be dealt with
// when no lock is held.
type departure struct {
	client *client
	close  session.Close
	ended  bool // the session ends with the connection
	will   bool // the session has a will that is kept
	keep   bool // the session ends, but for its will, which is kept through a split

	granted metadata.Epoch // of the connection
}

var rounds = sync.Pool{New: func() any { return &round{} }}
var roundIDs atomic.Uint64

// begin takes a round.
func (b *Broker) begin() *round {
	r := rounds.Get().(*round)
	r.id = roundIDs.Add(1)
	r.now = b.cfg.Now().UnixMilli()
	r.mount, r.head.mount = nil, nil
	return r
}

// scratchKeepMax is how much an idle round keeps of what a large packet grew.
const scratchKeepMax = 64 << 10

// end deals with departures, writes to every touched connection once, and
// gives the round back.
func (b *Broker) end(r *round) {
	b.settle(r)
	b.flush(r)
	if cap(r.own.Out) > scratchKeepMax || cap(r.other.Out) > scratchKeepMax {
		*r = round{}
	}
	rounds.Put(r)
}

// idle says that the round has nothing to do at its end.
func (r *round) idle() bool { return len(r.touched) == 0 && len(r.links) == 0 && len(r.after) == 0 }

// flush writes what the round has put into outboxes.
func (b *Broker) flush(r *round) {
	b.flushLinks(r)
	for i, c := range r.touched {
		c.Flush()
		r.touched[i] = nil
	}
	r.touched = r.touched[:0]
	for q, n := range r.sent {
		if n > 0 {
			b.count.publishOut[q].Add(n)
			r.sent[q] = 0
		}
	}
	if r.out > 0 {
		b.count.bytesOut.Add(r.out)
		r.out = 0
	}
}

// settle deals with the connections that ended in this round. Publishing a
// will may end others, so the list may grow while it is worked off.
func (b *Broker) settle(r *round) {
	for i := 0; i < len(r.after); i++ {
		d := r.after[i]
		r.after[i] = departure{}
		b.departed(d, r)
	}
	r.after = r.after[:0]
}

// lock takes c's lock and remembers it for recovery.
func (r *round) lock(c *client) {
	c.mu.Lock()
	r.locked = c
}

func (r *round) unlock(c *client) {
	r.locked = nil
	c.mu.Unlock()
}

// emit hands on what a step of c wants: bytes, durable operations, the end of
// the connection. The caller holds c.mu.
func (b *Broker) emit(c *client, e *session.Effects, r *round) {
	if len(e.Out) > 0 && c.conn != nil {
		r.out += uint64(c.append(e))
		r.touch(c)
	}
	for q, n := range e.Sent {
		r.sent[q] += uint64(n)
	}
	if e.Dropped > 0 {
		b.count.dropped[dropTooLarge].Add(uint64(e.Dropped))
	}
	if excess, expired := c.queue.LetGo(); excess+expired > 0 {
		b.count.dropped[dropQueueFull].Add(excess)
		b.count.dropped[dropExpired].Add(expired)
	}
	if c.durable && c.queue.HasOps() {
		r.ops = c.queue.Ops(r.ops[:0])
		b.cfg.Queue.Do(c.qid, r.ops, c.onOp)
	}
	if e.Closing && c.conn != nil {
		b.part(c, e, r)
	}
}

// touch has c's connection flushed at the end of the round. The caller holds
// c.mu.
func (r *round) touch(c *client) {
	if c.touched != r.id {
		c.touched = r.id
		r.touched = append(r.touched, c.conn)
	}
}

// msg builds the queued form of what is being routed, once per message. It
// owns its bytes.
func (r *round) msg(b *Broker, pub *publication) *queue.Message {
	if r.message == nil {
		r.message = &queue.Message{ID: pub.messageID(b), QoS: pub.packet.QoS, ExpiresAt: pub.expiresAt}
		if pub.body != nil {
			r.message.Body = append([]byte(nil), pub.body...)
		} else {
			r.message.Body = session.EncodeBody(pub.packet)
		}
	}
	return r.message
}
