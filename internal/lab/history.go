package lab

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Mark names one message of a History: its publisher and its number there. A
// value.
type Mark struct {
	Publisher string
	Number    int
}

// History is what clients saw during a trial. Safe for concurrent use.
//
// Check demands of it:
//
//	lost      what was acknowledged after a subscriber's SUBACK reached it (P1, P6)
//	invented  nothing arrives that nobody sent
//	order     of each publisher, messages reach a subscriber for the first time in
//	          the order of publication (P9), unless the trial forgives it (R22)
//	twice     nothing arrives twice but in flight at a crash or a lost
//	          connection (P9): a repetition without DUP is a fault
//	hang      every CONNECT and PUBLISH is answered, or its connection ended,
//	          within HangAfter
type History struct {
	// HangAfter is how long an answer may take at most; set before use.
	HangAfter time.Duration
	// ForgiveOrder is set by a trial in which a session was moved away from a
	// node that could not be reached.
	ForgiveOrder bool
	// ForgiveTwice is set by a trial that kills processes or moves sessions by
	// force: what was in flight then comes again, from another node without DUP.
	ForgiveTwice bool

	mu      sync.Mutex
	began   time.Time
	sent    map[Mark]time.Time
	acked   map[Mark]time.Time
	readers map[string]*reader
	faults  []string
	answers map[string]int
	events  []string
}

// reader is what one subscriber has seen. Guarded by the History's mu.
type reader struct {
	since   time.Time // SUBACK
	arrived []Mark
	count   map[Mark]int
	again   int // repetitions that said so
	bare    int // repetitions without DUP
}

// NewHistory begins one.
func NewHistory() *History {
	return &History{HangAfter: 15 * time.Second, began: time.Now(), sent: map[Mark]time.Time{},
		acked: map[Mark]time.Time{}, readers: map[string]*reader{}, answers: map[string]int{}}
}

// Event notes what the trial did, for the story that a failure tells.
func (h *History) Event(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, fmt.Sprintf("%8.3f %s", time.Since(h.began).Seconds(), fmt.Sprintf(format, args...)))
}

// Subscribed says that a subscriber has its SUBACK: from now on what is
// acknowledged has to reach it.
func (h *History) Subscribed(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers[name] == nil {
		h.readers[name] = &reader{since: time.Now(), count: map[Mark]int{}}
	}
}

// Sent says that a message is about to go out, for the first time.
func (h *History) Sent(m Mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.sent[m]; !ok {
		h.sent[m] = time.Now()
	}
}

// Acked says that a message was acknowledged with a good reason.
func (h *History) Acked(m Mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.acked[m]; !ok {
		h.acked[m] = time.Now()
	}
}

// Arrived says that a message reached a subscriber.
func (h *History) Arrived(name string, m Mark, dup bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.readers[name]
	if r == nil {
		r = &reader{since: time.Now(), count: map[Mark]int{}}
		h.readers[name] = r
	}
	r.arrived = append(r.arrived, m)
	if r.count[m]++; r.count[m] > 1 {
		if dup {
			r.again++
		} else {
			r.bare++
		}
	}
}

// Answered counts an answer to a client, such as "connect 0x88", and notes a
// fault if it took too long.
func (h *History) Answered(what string, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[what]++
	if took > h.HangAfter {
		h.faults = append(h.faults, fmt.Sprintf("hang: %s took %v", what, took.Round(time.Millisecond)))
	}
}

// Missing counts what was acknowledged and has not arrived.
func (h *History) Missing() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, r := range h.readers {
		n += len(h.owed(r))
	}
	return n
}

// owed lists what r has to get and has not.
func (h *History) owed(r *reader) []Mark {
	var out []Mark
	for m := range h.acked {
		if h.sent[m].After(r.since) && r.count[m] == 0 {
			out = append(out, m)
		}
	}
	return out
}

// faultsMax bounds what one check tells.
const faultsMax = 20

// Check lists what contradicts the properties, at the end of a trial.
func (h *History) Check() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	faults := slices.Clone(h.faults)
	for name, r := range h.readers {
		for _, m := range h.owed(r) {
			faults = append(faults, fmt.Sprintf("lost: %s %d was acknowledged at %.3f and did not reach %s",
				m.Publisher, m.Number, h.acked[m].Sub(h.began).Seconds(), name))
		}
		faults = append(faults, h.sequence(name, r)...)
		if r.bare > 0 && !h.ForgiveTwice {
			faults = append(faults, fmt.Sprintf("twice: %s received %d messages again without DUP", name, r.bare))
		}
	}
	slices.Sort(faults)
	if len(faults) > faultsMax {
		faults = append(faults[:faultsMax], fmt.Sprintf("and %d more", len(faults)-faultsMax))
	}
	return faults
}

// sequence checks what one subscriber received, in order.
func (h *History) sequence(name string, r *reader) []string {
	var faults []string
	seen, last := map[Mark]bool{}, map[string]int{}
	for _, m := range r.arrived {
		if _, ok := h.sent[m]; !ok {
			faults = append(faults, fmt.Sprintf("invented: %s received %s %d", name, m.Publisher, m.Number))
		}
		if seen[m] {
			continue
		}
		seen[m] = true
		if m.Number < last[m.Publisher] && !h.ForgiveOrder {
			faults = append(faults, fmt.Sprintf("order: %s received %s %d after %d", name, m.Publisher, m.Number, last[m.Publisher]))
		}
		last[m.Publisher] = max(last[m.Publisher], m.Number)
	}
	return faults
}

// String sums up what was shown, with the events of the trial.
func (h *History) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	arrived, again, bare := 0, 0, 0
	for _, r := range h.readers {
		arrived, again, bare = arrived+len(r.arrived), again+r.again, bare+r.bare
	}
	text := fmt.Sprintf("%d sent, %d acknowledged, %d deliveries to %d subscribers, of these again %d with DUP and %d without\n",
		len(h.sent), len(h.acked), arrived, len(h.readers), again, bare)
	for _, what := range slices.Sorted(func(yield func(string) bool) {
		for k := range h.answers {
			if !yield(k) {
				return
			}
		}
	}) {
		text += fmt.Sprintf("  %6d × %s\n", h.answers[what], what)
	}
	for _, e := range h.events {
		text += e + "\n"
	}
	return text
}
