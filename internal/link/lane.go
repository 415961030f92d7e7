package link

import (
	"slices"
	"time"

	"tombolo/internal/wire"
)

// lane is the publish stream for one peer with its tail in the spool: a pure
// core. Owned by whoever holds the peer's lock. What it wants of the spool it
// gives out as a job; one job is under way at a time.
//
// The order of a message's life: waiting (bounded memory, needs the spool) →
// in the spool → in the window → ended. While nothing is wrong the spool is
// passed by.
//
// Invariants, checked by check:
//
//	(1) while waiting is not empty or the spool has unread messages, nothing
//	    new goes into the window
//	(2) loaded holds exactly the places of entries and parked messages
//	(3) waitingBytes is the sum of the bodies that wait or are being written
//	(4) parked is in the order in which its messages came, and blocking counts those of
//	    it that hold up others
type lane struct {
	*sender
	config laneConfig

	away         bool    // no connection, or suspect or down by verdict
	waiting      []entry // for the spool to take
	waitingBytes int
	loaded       map[uint64]struct{} // places that are in memory as well
	readTo       uint64              // the highest place read
	stored       uint64              // messages in the spool that have not ended
	held         map[uint64]Ticket   // of messages in a spool that is not durable, by place
	parked       []parked            // refused; tried again together
	blocking     int                 // of parked
	retryAt      int64               // when parked is tried again
	removals     []uint64            // places of ended messages
	job          *spoolJob           // under way
	failedUntil  int64               // after the spool did not append
	readAfter    int64               // after it did not read or remove
	addMax       int                 // messages in one append: halved when the spool has no room for them
	full         bool                // the spool did not take the last message
}

// laneConfig is what a lane is told once. A value.
type laneConfig struct {
	confirmWait  int64 // R9
	retryAfter   int64 // for a refused message
	waitingBytes int   // bound of waiting
	durable      bool
}

// parked is a message that the peer refused. A value.
type parked struct {
	entry
	// blocks says that the peer's store took nothing: what comes after this
	// message would be refused as well, and would pass it if it were not. A later
	// message that is stored shows that it is this one alone.
	blocks bool
}

// spoolJob is what the spool is asked: removals, then appends, then a read. A
// value that the lane's caller fills in. Owned by the goroutine that serves it.
type spoolJob struct {
	remove   []uint64
	add      []Spooled
	copies   []uint64 // the first len(copies) of add are copies of entries, named by last frame
	tickets  []Ticket // of the rest
	read     bool
	after    uint64
	count    int
	bytes    int
	got      []Spooled
	addErr   error
	otherErr error
}

// counts in one job, so that none takes long.
const (
	jobCountMax = 512
	jobBytesMax = 1 << 20
	spoolRetry  = int64(100 * time.Millisecond)
)

func newLane(s *sender, c laneConfig, stored uint64) *lane {
	return &lane{sender: s, config: c, stored: stored, away: true, addMax: jobCountMax,
		loaded: map[uint64]struct{}{}, held: map[uint64]Ticket{}}
}

// unread is how many messages are in the spool and not in memory.
func (l *lane) unread() uint64 { return l.stored - uint64(len(l.loaded)) }

// behind says whether new messages have to queue behind others in the spool.
func (l *lane) behind() bool {
	return l.away || len(l.waiting) > 0 || l.unread() > 0 || l.blocking > 0 || len(l.parked) >= l.limits.Frames ||
		l.job != nil && len(l.job.add) > 0
}

// send takes a message; false if it is not admitted. spool says that the spool
// has something to do.
func (l *lane) send(e entry) (ok, spool bool) {
	if !l.behind() && l.push(e) {
		return true, false
	}
	if l.waitingBytes+len(e.body) > l.config.waitingBytes && l.waitingBytes > 0 {
		return false, false
	}
	l.waitingBytes += len(e.body)
	l.waiting = append(l.waiting, e)
	return true, true
}

// end takes what has ended. Messages that were refused are kept, the others go
// to told if their publisher has not heard of them.
func (l *lane) end(list []ended, now int64, told []ended) []ended {
	for _, e := range list {
		if e.result == Refused {
			l.park(e, now)
			continue
		}
		if e.result == Stored && l.blocking > 0 {
			l.unblock(e.born)
		}
		if e.place != 0 {
			delete(l.loaded, e.place)
			l.stored--
			l.removals = append(l.removals, e.place)
		}
		if e.ticket != nil {
			told = append(told, e)
		}
	}
	return told
}

// park keeps a message that was refused, at the place where it came.
func (l *lane) park(e ended, now int64) {
	if l.retryAt <= now {
		l.retryAt = now + l.config.retryAfter
	}
	p := parked{e.entry, e.reason == wire.NotStored}
	if p.blocks {
		l.blocking++
	}
	i := len(l.parked)
	for i > 0 && l.parked[i-1].born > p.born {
		i--
	}
	l.parked = slices.Insert(l.parked, i, p)
}

// resumed follows end when a connection begins. A peer that has refused messages, and
// was started again, may take now what it refused then. It has nothing of the window,
// which came after that, so the window waits with those: each gets a new number, in the
// order in which they came.
func (l *lane) resumed(m *wire.Resume, now int64) {
	if l.blocking == 0 || len(l.entries) == 0 || m.Received != m.Through {
		return
	}
	next := l.entries[0].first // no number from here on was ever taken in
	for _, e := range l.reset(nil) {
		l.park(ended{entry: e, reason: wire.NotStored}, now)
	}
	l.next, l.cursor = next, next
	l.retryAt = now
}

// unblock has nothing wait for messages that came before one that was stored.
func (l *lane) unblock(born uint64) {
	for i := range l.parked {
		if p := &l.parked[i]; p.blocks && p.born < born {
			p.blocks = false
			l.blocking--
		}
	}
}

// overdue says whether the oldest message that is only in memory has waited for
// its end for too long.
func (l *lane) overdue(now int64) bool {
	if !l.config.durable {
		return false
	}
	for i := range l.entries {
		if e := &l.entries[i]; e.place == 0 && !e.writing {
			return l.away || now-e.pushedAt >= l.config.confirmWait
		}
	}
	return false
}

// refill moves refused messages into the window when they are due, in the order in
// which they came.
func (l *lane) refill(now int64) {
	if now < l.retryAt || l.blocking > 0 && slices.ContainsFunc(l.entries, func(e entry) bool { return e.born > l.parked[0].born }) {
		return // what was sent after them has not ended: it is refused as well, and is to come after them
	}
	n := 0
	for ; n < len(l.parked) && !l.parked[n].writing && l.push(l.parked[n].entry); n++ {
		if l.parked[n].blocks {
			l.blocking--
		}
	}
	l.parked = slices.Delete(l.parked, 0, n)
}

// nextJob gives the spool's next job, nil if there is none.
func (l *lane) nextJob(now int64) *spoolJob {
	if l.job != nil {
		return nil
	}
	l.refill(now)
	j := &spoolJob{}
	if now >= l.failedUntil {
		l.collect(j, now)
	}
	if now < l.readAfter {
		return l.start(j)
	}
	j.remove, l.removals = l.removals, nil
	// Reading waits for appends: what is appended may be what is to be read.
	if len(j.add) == 0 && l.mayRead() {
		j.read, j.after = true, l.readTo
		j.count, j.bytes = min(jobCountMax, l.limits.Frames), min(jobBytesMax, l.limits.Bytes-l.bytes)
	}
	return l.start(j)
}

// start makes a job the one under way, if there is anything in it.
func (l *lane) start(j *spoolJob) *spoolJob {
	if len(j.add) == 0 && len(j.remove) == 0 && !j.read {
		return nil
	}
	l.job = j
	return j
}

// mayRead says whether the window has room for what is in the spool.
func (l *lane) mayRead() bool {
	return !l.away && l.unread() > 0 && l.blocking == 0 && len(l.parked) < l.limits.Frames && (len(l.entries) == 0 || l.bytes <= l.limits.Bytes/2 && l.room(nil))
}

// collect puts copies of refused messages, then the window, then what waits into a
// job: the spool has the order in which messages came.
func (l *lane) collect(j *spoolJob, now int64) {
	copies := func(e *entry) {
		if e.place == 0 && !e.writing && len(j.add) < l.addMax {
			e.writing = true
			j.add = append(j.add, Spooled{Kind: e.kind, Body: e.body})
			j.copies = append(j.copies, e.last)
		}
	}
	if l.config.durable {
		for i := range l.parked {
			copies(&l.parked[i].entry)
		}
	}
	if l.overdue(now) || l.config.durable && len(l.waiting) > 0 {
		for i := range l.entries {
			copies(&l.entries[i])
		}
	}
	n, bytes := 0, 0
	for ; n < len(l.waiting) && len(j.add) < l.addMax && bytes < jobBytesMax; n++ {
		e := &l.waiting[n]
		bytes += len(e.body)
		j.add = append(j.add, Spooled{Kind: e.kind, Body: e.body})
		j.tickets = append(j.tickets, e.ticket)
	}
}
