package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// mark names one message of a history: who published it and its number there.
// A value.
type mark struct {
	publisher string
	number    int
}

// history is what happened in a crash test: what was acknowledged to whom and
// what arrived where, in order. Safe for concurrent use.
//
// Properties that check demands: (1) everything that was acknowledged arrived
// at every subscriber; (2) nothing arrived that was not sent; (3) what went at
// QoS 2 all the way arrived once; (4) for each publisher, messages arrived for
// the first time in the order of publication.
type history struct {
	mu          sync.Mutex
	sent        map[mark]bool
	acked       map[mark]bool
	exact       map[string]bool   // publishers at QoS 2
	exactlyOnce map[string]bool   // subscribers at QoS 2
	arrived     map[string][]mark // by subscriber
	present     map[string]map[mark]bool
	lacking     int // deliveries of what is acknowledged that have not come
}

func newHistory() *history {
	return &history{sent: map[mark]bool{}, acked: map[mark]bool{}, exact: map[string]bool{},
		exactlyOnce: map[string]bool{}, arrived: map[string][]mark{}, present: map[string]map[mark]bool{}}
}

func (h *history) publisher(name string, qos byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.exact[name] = qos == 2
}

func (h *history) subscriber(name string, qos byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.exactlyOnce[name] = qos == 2
	h.present[name] = map[mark]bool{}
}

func (h *history) send(m mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[m] = true
}

func (h *history) ack(m mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.acked[m] {
		return
	}
	h.acked[m] = true
	for s := range h.present {
		if !h.present[s][m] {
			h.lacking++
		}
	}
}

func (h *history) arrive(subscriber string, m mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arrived[subscriber] = append(h.arrived[subscriber], m)
	if h.acked[m] && !h.present[subscriber][m] {
		h.lacking--
	}
	h.present[subscriber][m] = true
}

// complete reports whether everything acknowledged has arrived everywhere. It
// is asked often, so that it only looks at a count.
func (h *history) complete() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lacking == 0
}

// missing counts by subscriber what has not arrived.
func (h *history) missing() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]int{}
	for s := range h.present {
		for m := range h.acked {
			if !h.present[s][m] {
				out[s]++
			}
		}
	}
	return out
}

// counts says how much was shown.
func (h *history) counts() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	arrived, again := 0, 0
	for s, list := range h.arrived {
		arrived += len(list)
		again += len(list) - len(h.present[s])
	}
	return fmt.Sprintf("%d sent, %d acknowledged, %d deliveries to %d subscribers, %d of them again (QoS 1)",
		len(h.sent), len(h.acked), arrived, len(h.arrived), again)
}

// faultsMax bounds what one check tells.
const faultsMax = 20

// check lists what contradicts the properties.
func (h *history) check() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for s := range h.present {
		for m := range h.acked {
			if !h.present[s][m] {
				fault("lost: %s number %d was acknowledged and did not reach %s", m.publisher, m.number, s)
			}
		}
		count, last := map[mark]int{}, map[string]int{}
		for _, m := range h.arrived[s] {
			if !h.sent[m] {
				fault("invented: %s received %s number %d, which nobody sent", s, m.publisher, m.number)
			}
			if count[m]++; count[m] == 2 && h.exact[m.publisher] && h.exactlyOnce[s] {
				fault("twice: %s received %s number %d again, at QoS 2", s, m.publisher, m.number)
			}
			if count[m] == 1 {
				if m.number < last[m.publisher] {
					fault("order: %s received %s number %d after %d", s, m.publisher, m.number, last[m.publisher])
				}
				last[m.publisher] = max(last[m.publisher], m.number)
			}
		}
	}
	slices.Sort(faults)
	if len(faults) > faultsMax {
		faults = append(faults[:faultsMax], fmt.Sprintf("and %d more", len(faults)-faultsMax))
	}
	return faults
}

// TestHistorySeesFaults plants each fault once.
func TestHistorySeesFaults(t *testing.T) {
	at := func(n int) mark { return mark{"p", n} }
	for name, c := range map[string]struct {
		arrived []int
		qos     byte
		faults  int
	}{
		"all well":             {[]int{1, 2, 3}, 2, 0},
		"again at QoS 1":       {[]int{1, 2, 1, 2, 3}, 1, 0},
		"lost":                 {[]int{1, 3}, 2, 1},
		"twice at QoS 2":       {[]int{1, 2, 2, 3}, 2, 1},
		"out of order":         {[]int{1, 3, 2}, 2, 1},
		"invented":             {[]int{1, 2, 3, 4}, 2, 1},
		"unacknowledged comes": {[]int{1, 2, 3, 5}, 2, 0},
	} {
		h := newHistory()
		h.publisher("p", c.qos)
		h.subscriber("s", c.qos)
		for _, n := range []int{1, 2, 3, 5} {
			h.send(at(n))
		}
		for n := 1; n <= 3; n++ {
			h.ack(at(n))
		}
		for _, n := range c.arrived {
			h.arrive("s", at(n))
		}
		if got := h.check(); len(got) != c.faults {
			t.Errorf("%s: faults %q, want %d", name, got, c.faults)
		}
		if h.complete() != (name != "lost") {
			t.Errorf("%s: complete says %v", name, h.complete())
		}
	}
}
