package link

import (
	"slices"

	"tombolo/internal/wire"
)

// finish takes a job back from the spool. told gets the messages whose
// publishers are to hear of it.
func (l *lane) finish(j *spoolJob, now int64, told []ended) []ended {
	l.job = nil
	if j.addErr != nil {
		l.failedUntil = now + spoolRetry
	}
	if j.otherErr != nil {
		l.readAfter = now + spoolRetry
		l.removals = append(l.removals, j.remove...) // again, before anything is read
	}
	if j.addErr != nil {
		l.full = true
		l.addMax = max(1, len(j.add)/2)
		l.notTaken(j)
		return told
	}
	if len(j.add) > 0 {
		l.full = false
		l.addMax = min(2*l.addMax, jobCountMax)
	}
	l.stored += uint64(len(j.add))
	for i, last := range j.copies {
		told = l.copied(last, j.add[i].Place, told)
	}
	n := len(j.tickets)
	for i := range n {
		e := &l.waiting[i]
		l.waitingBytes -= len(e.body)
		switch {
		case e.ticket == nil:
		case l.config.durable:
			told = append(told, ended{entry: *e, result: InSpool})
		default:
			l.held[j.add[len(j.copies)+i].Place] = e.ticket
		}
	}
	clear(l.waiting[:n])
	l.waiting = l.waiting[n:]
	if j.read && j.otherErr == nil {
		l.load(j)
	}
	return told
}

// notTaken leaves everything where it was; it is tried again.
func (l *lane) notTaken(j *spoolJob) {
	for _, last := range j.copies {
		if e := l.holder(last); e != nil {
			e.writing = false
		}
	}
}

// holder finds the message that ends with a frame, in the window or parked.
func (l *lane) holder(last uint64) *entry {
	if i, ok := l.find(last); ok && l.entries[i].writing {
		return &l.entries[i]
	}
	for i := range l.parked {
		if e := &l.parked[i].entry; e.last == last && e.writing {
			return e
		}
	}
	return nil
}

// copied notes the place of a copy. If the message has ended meanwhile, the
// copy goes.
func (l *lane) copied(last, place uint64, told []ended) []ended {
	e := l.holder(last)
	if e == nil {
		l.stored--
		l.removals = append(l.removals, place)
		return told
	}
	e.writing, e.place = false, place
	l.loaded[place] = struct{}{}
	if e.ticket != nil {
		told = append(told, ended{entry: *e, result: InSpool})
		e.ticket = nil
	}
	return told
}

// load puts what was read into the window.
func (l *lane) load(j *spoolJob) {
	if len(j.got) == 0 {
		l.stored = uint64(len(l.loaded)) // the spool has lost what it counted
		return
	}
	for _, m := range j.got {
		_, here := l.loaded[m.Place]
		if !here && !slices.Contains(l.removals, m.Place) { // else it is in memory, or ended while this was read
			// What is in the spool is no longer overdue: its publisher knows.
			if !l.push(entry{kind: m.Kind, body: m.Body, place: m.Place, ticket: l.held[m.Place]}) {
				return
			}
			delete(l.held, m.Place)
			l.loaded[m.Place] = struct{}{}
		}
		l.readTo = m.Place
	}
}

// check names the first broken invariant; "" if all hold.
func (l *lane) check() string {
	places := 0
	for i := range l.entries {
		if l.entries[i].place != 0 {
			places++
		}
	}
	bytes, blocking, sorted := 0, 0, true
	for i := range l.parked {
		if l.parked[i].place != 0 {
			places++
		}
		if l.parked[i].blocks {
			blocking++
		}
		sorted = sorted && (i == 0 || l.parked[i-1].born < l.parked[i].born)
	}
	for i := range l.waiting {
		bytes += len(l.waiting[i].body)
	}
	switch {
	case places != len(l.loaded):
		return "(2) loaded is not what is in memory"
	case bytes != l.waitingBytes:
		return "(3) waitingBytes is not the sum"
	case blocking != l.blocking || !sorted:
		return "(4) parked is out of order, or miscounted"
	case l.stored < uint64(len(l.loaded)):
		return "(1) more loaded than stored"
	}
	return l.sender.check()
}

func (s *sender) check() string {
	next, bytes := s.base(), 0
	for i := range s.entries {
		e := &s.entries[i]
		if e.first != next || e.last != next+framesOf(e.body)-1 {
			return "(1) entries have a gap"
		}
		next = e.last + 1
		bytes += len(e.body)
	}
	switch {
	case next != s.next:
		return "(1) the last entry does not end before next"
	case s.cursor < s.base() || s.cursor > s.next:
		return "(2) cursor is outside"
	case bytes != s.bytes:
		return "(3) bytes is not the sum"
	}
	return ""
}

func (r *receiver) check() string {
	at := r.applied
	for i := range r.arrivals {
		if r.arrivals[i].last <= at || r.arrivals[i].last > r.received {
			return "(1) arrivals are out of order"
		}
		at = r.arrivals[i].last
	}
	switch {
	case r.applied > r.received:
		return "(1) applied is beyond received"
	case len(r.arrivals) > 0 && r.arrivals[0].done:
		return "(2) the first arrival is done"
	case len(r.arrivals) > wire.WindowFramesMax:
		return "(4) more is open than the window has"
	}
	for i := 1; i < len(r.outcomes); i++ {
		if r.outcomes[i].Sequence <= r.outcomes[i-1].Sequence {
			return "(3) outcomes are out of order"
		}
	}
	return ""
}

// stirred says whether the spool may have something to do.
func (l *lane) stirred() bool {
	return l.job == nil && (len(l.removals) > 0 || len(l.waiting) > 0 || len(l.parked) > 0 || l.unread() > 0)
}
