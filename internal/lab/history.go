package lab

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
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
//	lost      what was sent after a subscriber's SUBACK, and acknowledged, reached it
//	          (P1, P6, R6)
//	invented  nothing arrives that nobody sent
//	order     what a publisher sent over one connection reaches a subscriber for the
//	          first time in the order of publication (P9); forgiven to a session
//	          that went to another node while something was wrong, from then on (R22)
//	twice     nothing arrives twice without DUP that was sent once; forgiven to a
//	          session that moved so, to one whose node was killed (P9), and where
//	          the node that took the message in has ended since: it sends again what
//	          was under way
//	hang      every CONNECT and PUBLISH is answered, or its connection ended,
//	          within HangAfter
type History struct {
	// HangAfter is how long an answer may take at most; set before use.
	HangAfter time.Duration

	mu      sync.Mutex
	began   time.Time
	sent    map[Mark]*sending
	acked   map[Mark]time.Time
	readers map[string]*reader
	ended   map[string]time.Time // when a broker ended last
	wrong   bool                 // something is wrong in the cluster
	mended  time.Time            // since when nothing is
	faults  []string
	answers map[string]int
	events  []string
}

// sending is how a message went out. Guarded by the History's mu.
type sending struct {
	at         time.Time
	place      string
	connection int // of its publisher, from 1
	times      int
}

// arrival is one message that reached a subscriber. A value.
type arrival struct {
	mark Mark
	at   time.Time
	dup  bool
}

// reader is what one subscriber has seen. Guarded by the History's mu.
type reader struct {
	since   time.Time // SUBACK; zero: it has none yet
	place   string    // where it was connected last
	forced  time.Time // when it first went elsewhere while something was wrong; zero: never
	killed  time.Time // when its node was first killed; zero: never
	arrived []arrival
	count   map[Mark]int
}

// NewHistory begins one.
func NewHistory() *History {
	return &History{HangAfter: 15 * time.Second, began: time.Now(), sent: map[Mark]*sending{},
		acked: map[Mark]time.Time{}, ended: map[string]time.Time{}, readers: map[string]*reader{}, answers: map[string]int{}}
}

// eventsMax bounds the story of a trial.
const eventsMax = 5000

// Event notes what the trial did, for the story that a failure tells.
func (h *History) Event(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.eventLocked(format, args...)
}

func (h *History) eventLocked(format string, args ...any) {
	if len(h.events) < eventsMax {
		h.events = append(h.events, fmt.Sprintf("%8.3f %s", time.Since(h.began).Seconds(), fmt.Sprintf(format, args...)))
	}
}

// graceAfter is how long a cluster is given to notice that nothing is wrong any
// more: the verdict (R28), and what has to be moved.
const graceAfter = 8 * time.Second

// Wrong says whether something is wrong in the cluster from now on.
func (h *History) Wrong(is bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wrong && !is {
		h.mended = time.Now()
	}
	h.wrong = is
}

// Ended says that a broker ends now, by its own choice or killed.
func (h *History) Ended(place string, killed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended[place] = time.Now()
	if !killed {
		return
	}
	for _, r := range h.readers {
		if r.place == place && r.killed.IsZero() {
			r.killed = time.Now()
		}
	}
}

// Connected says that a robot has its CONNACK.
func (h *History) Connected(name, place string, resumed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.eventLocked("%s is at %s, resumed %v", name, place, resumed)
	r := h.readers[name]
	if r == nil {
		return
	}
	elsewhere := r.place != "" && r.place != place
	if elsewhere && r.forced.IsZero() && (h.wrong || !h.mended.IsZero() && time.Since(h.mended) < graceAfter) {
		r.forced = time.Now()
	}
	r.place = place
}

// Subscribed says that a subscriber has its SUBACK: what is sent from now on, and
// acknowledged, has to reach it.
func (h *History) Subscribed(name, place string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.readerLocked(name)
	r.place = place
	if r.since.IsZero() {
		r.since = time.Now()
		h.eventLocked("%s has its SUBACK", name)
	}
}

// readerLocked is what a subscriber has seen. The first messages may arrive before
// SUBACK (MQTT 5 §3.8.4): they say nothing of what it is owed (R6).
func (h *History) readerLocked(name string) *reader {
	r := h.readers[name]
	if r == nil {
		r = &reader{count: map[Mark]int{}}
		h.readers[name] = r
	}
	return r
}

// Sent says that a message is about to go out to a broker, over a connection of
// its publisher, whose number it is.
func (h *History) Sent(m Mark, place string, connection int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sent[m]; s != nil {
		s.times++
		return
	}
	h.sent[m] = &sending{at: time.Now(), place: place, connection: connection, times: 1}
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
	r := h.readerLocked(name)
	r.arrived = append(r.arrived, arrival{m, time.Now(), dup})
	r.count[m]++
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

// owed lists what r has to get and has not, in order.
func (h *History) owed(r *reader) []Mark {
	var out []Mark
	if r.since.IsZero() {
		return nil
	}
	for m := range h.acked {
		if h.sent[m].at.After(r.since) && r.count[m] == 0 {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, compareMarks)
	return out
}

// Dump writes all that was noted of messages: who sent what, when it was
// acknowledged, and when it reached whom.
func (h *History) Dump(w io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := bufio.NewWriter(w)
	for _, m := range slices.SortedFunc(maps.Keys(h.sent), compareMarks) {
		s := h.sent[m]
		fmt.Fprintf(out, "%s %d sent %.3f over connection %d, %d times", m.Publisher, m.Number, h.seconds(s.at), s.connection, s.times)
		if at, ok := h.acked[m]; ok {
			fmt.Fprintf(out, ", acknowledged %.3f", h.seconds(at))
		}
		fmt.Fprintln(out)
	}
	for _, name := range slices.Sorted(maps.Keys(h.readers)) {
		for _, a := range h.readers[name].arrived {
			fmt.Fprintf(out, "%s got %s %d at %.3f dup %v\n", name, a.mark.Publisher, a.mark.Number, h.seconds(a.at), a.dup)
		}
	}
	return out.Flush()
}

func compareMarks(a, b Mark) int {
	return cmp.Or(cmp.Compare(a.Publisher, b.Publisher), cmp.Compare(a.Number, b.Number))
}

// faultsMax bounds what one check tells.
const faultsMax = 40

// Check lists what contradicts the properties, at the end of a trial.
func (h *History) Check() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	faults := slices.Clone(h.faults)
	for name, r := range h.readers {
		faults = append(faults, h.lost(name, r)...)
		faults = append(faults, h.sequence(name, r)...)
	}
	slices.Sort(faults)
	if len(faults) > faultsMax {
		faults = append(faults[:faultsMax], fmt.Sprintf("and %d more", len(faults)-faultsMax))
	}
	return faults
}

// lost tells what r has not got: one line for a run of numbers.
func (h *History) lost(name string, r *reader) []string {
	var faults []string
	owed := h.owed(r)
	for len(owed) > 0 {
		first, n := owed[0], 1
		for n < len(owed) && owed[n] == (Mark{first.Publisher, first.Number + n}) {
			n++
		}
		last := owed[n-1]
		faults = append(faults, fmt.Sprintf("lost: %s %d to %d, acknowledged from %.3f to %.3f, did not reach %s",
			first.Publisher, first.Number, last.Number, h.seconds(h.acked[first]), h.seconds(h.acked[last]), name))
		owed = owed[n:]
	}
	return faults
}

// seconds is when something happened, since the beginning.
func (h *History) seconds(at time.Time) float64 { return at.Sub(h.began).Seconds() }

// forgiven reports whether what arrived at a moment may be out of order, or come
// again.
func forgiven(since, at time.Time) bool { return !since.IsZero() && !at.Before(since) }

// stream is what one publisher sends over one connection. A value.
type stream struct {
	publisher  string
	connection int
}

// sequence checks what one subscriber received, in order.
func (h *History) sequence(name string, r *reader) []string {
	var faults []string
	seen, last := map[Mark]bool{}, map[stream]int{}
	for _, a := range r.arrived {
		m, s := a.mark, h.sent[a.mark]
		switch {
		case s == nil:
			faults = append(faults, fmt.Sprintf("invented: %s received %s %d", name, m.Publisher, m.Number))
			continue
		case seen[m]:
			if !a.dup && s.times == 1 && !h.ended[s.place].After(s.at) && !forgiven(r.forced, a.at) && !forgiven(r.killed, a.at) {
				faults = append(faults, fmt.Sprintf("twice: %s received %s %d again at %.3f without DUP", name, m.Publisher, m.Number, h.seconds(a.at)))
			}
			continue
		}
		seen[m] = true
		if s.times > 1 {
			continue // each time over another way
		}
		from := stream{m.Publisher, s.connection}
		if m.Number < last[from] && !forgiven(r.forced, a.at) {
			faults = append(faults, fmt.Sprintf("order: %s received %s %d after %d at %.3f", name, m.Publisher, m.Number, last[from], h.seconds(a.at)))
		}
		last[from] = max(last[from], m.Number)
	}
	return faults
}

// String sums up what was shown, with the events of the trial.
func (h *History) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	arrived, again, resent, ended, bare, strict := 0, 0, 0, 0, 0, 0
	for _, r := range h.readers {
		arrived += len(r.arrived)
		seen := map[Mark]bool{}
		for _, a := range r.arrived {
			switch s := h.sent[a.mark]; {
			case !seen[a.mark] || s == nil:
			case s.times > 1:
				resent++
			case a.dup:
				again++
			case h.ended[s.place].After(s.at):
				ended++
			default:
				bare++
			}
			seen[a.mark] = true
		}
		if r.forced.IsZero() && r.killed.IsZero() {
			strict++
		}
	}
	text := fmt.Sprintf("%d sent, %d acknowledged, %d deliveries to %d subscribers (%d without a forced move or a kill), "+
		"of these again: %d with DUP, %d whose publisher sent them again, %d of nodes that ended, %d without DUP and without a reason\n",
		len(h.sent), len(h.acked), arrived, len(h.readers), strict, again, resent, ended, bare)
	for _, what := range slices.Sorted(maps.Keys(h.answers)) {
		text += fmt.Sprintf("  %6d × %s\n", h.answers[what], what)
	}
	for _, e := range h.events {
		text += e + "\n"
	}
	return text
}
