package lab

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHistorySeesFaults plants each fault once.
func TestHistorySeesFaults(t *testing.T) {
	type arrived struct {
		number int
		dup    bool
	}
	plain := func(numbers ...int) (out []arrived) {
		for _, n := range numbers {
			out = append(out, arrived{n, false})
		}
		return out
	}
	forced := func(h *History) {
		h.Wrong(true)
		h.Connected("s", "b", true)
	}
	for name, c := range map[string]struct {
		arrived []arrived
		before  func(h *History)
		faults  string
	}{
		"all well":             {arrived: plain(1, 2, 3)},
		"unacknowledged comes": {arrived: plain(1, 2, 3, 5)},
		"again with DUP":       {arrived: append(plain(1, 2, 3), arrived{2, true})},
		"lost":                 {arrived: plain(1, 3), faults: "lost: p 2 to 2"},
		"again without DUP":    {arrived: plain(1, 2, 2, 3), faults: "twice"},
		"sent again":           {arrived: plain(1, 2, 2, 3), before: func(h *History) { h.Sent(Mark{"p", 2}, "p", 1) }},
		"after a kill":         {arrived: plain(1, 2, 2, 3), before: func(h *History) { h.Ended("a", true) }},
		"another was killed":   {arrived: plain(1, 2, 2, 3), before: func(h *History) { h.Ended("b", true) }, faults: "twice"},
		"another was stopped":  {arrived: plain(1, 2, 2, 3), before: func(h *History) { h.Ended("a", false) }, faults: "twice"},
		"its node has ended":   {arrived: plain(1, 2, 2, 3), before: func(h *History) { h.Ended("p", false) }},
		"order, sent again":    {arrived: plain(1, 3, 2), before: func(h *History) { h.Sent(Mark{"p", 3}, "p", 1) }},
		"after a forced move":  {arrived: plain(1, 2, 2, 3), before: forced},
		"after a calm move":    {arrived: plain(1, 2, 2, 3), before: func(h *History) { h.Connected("s", "b", true) }, faults: "twice"},
		"out of order":         {arrived: plain(1, 3, 2), faults: "order"},
		"order, calm move":     {arrived: plain(1, 3, 2), before: func(h *History) { h.Connected("s", "b", true) }, faults: "order"},
		"order, forced move":   {arrived: plain(1, 3, 2), before: forced},
		"order, it stayed":     {arrived: plain(1, 3, 2), before: func(h *History) { h.Wrong(true); h.Connected("s", "a", true) }, faults: "order"},
		"order, soon after":    {arrived: plain(1, 3, 2), before: func(h *History) { h.Wrong(true); h.Wrong(false); h.Connected("s", "b", true) }},
		"order of connections": {arrived: plain(1, 2, 3, 5, 4), before: func(h *History) { h.Sent(Mark{"p", 4}, "p", 2) }},
		"order, after a kill":  {arrived: plain(1, 3, 2), before: func(h *History) { h.Ended("a", true) }, faults: "order"},
		"invented":             {arrived: plain(1, 2, 3, 6), faults: "invented"},
	} {
		h := NewHistory()
		h.Subscribed("s", "a")
		for _, n := range []int{1, 2, 3, 5} {
			h.Sent(Mark{"p", n}, "p", 1)
		}
		for n := 1; n <= 3; n++ {
			h.Acked(Mark{"p", n})
		}
		if c.before != nil {
			c.before(h)
		}
		for _, a := range c.arrived {
			h.Arrived("s", Mark{"p", a.number}, a.dup)
		}
		got := h.Check()
		if c.faults == "" && len(got) > 0 || c.faults != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.faults)) {
			t.Errorf("%s: faults %q, want %q", name, got, c.faults)
		}
		if (h.Missing() > 0) != (name == "lost") {
			t.Errorf("%s: %d missing", name, h.Missing())
		}
	}
	h := NewHistory()
	h.Answered("connect ok", h.HangAfter+time.Second)
	if got := h.Check(); len(got) != 1 || !strings.HasPrefix(got[0], "hang") {
		t.Errorf("a slow answer: faults %q", got)
	}
}

// TestBeforeSuback: what was sent before a subscriber had its SUBACK is not owed,
// even if another message had reached it by then (R6); what comes later is.
func TestBeforeSuback(t *testing.T) {
	h := NewHistory()
	h.Sent(Mark{"p", 1}, "p", 1)
	h.Acked(Mark{"p", 1})
	h.Sent(Mark{"q", 1}, "p", 1)
	h.Acked(Mark{"q", 1})
	h.Arrived("s", Mark{"q", 1}, false) // of the node it is at, where its filter matches already
	h.Sent(Mark{"p", 2}, "p", 1)
	h.Acked(Mark{"p", 2})
	if n := h.Missing(); n != 0 {
		t.Errorf("%d missing without a SUBACK", n)
	}
	h.Subscribed("s", "a")
	if got := h.Check(); h.Missing() != 0 || len(got) > 0 {
		t.Errorf("%d missing, faults %q", h.Missing(), got)
	}
	h.Sent(Mark{"p", 3}, "p", 1)
	h.Acked(Mark{"p", 3})
	h.Subscribed("s", "a") // once more: it is owed no less
	if got := h.Check(); h.Missing() != 1 || len(got) != 1 || !strings.HasPrefix(got[0], "lost: p 3 to 3") {
		t.Errorf("%d missing, faults %q", h.Missing(), got)
	}
}

// TestRandomSchedule: one seed makes one schedule, nothing happens to a frozen
// node but its thaw, and the end is whole.
func TestRandomSchedule(t *testing.T) {
	for seed := range uint64(200) {
		steps := Random(seed, 3+int(seed%3), 12)
		if !slices.EqualFunc(steps, Random(seed, 3+int(seed%3), 12), func(a, b Step) bool {
			return a.String() == b.String() && a.After == b.After
		}) {
			t.Fatalf("seed %d makes two schedules", seed)
		}
		ill := -1
		for _, s := range steps {
			switch s.Action {
			case Freeze, Full:
				if ill >= 0 {
					t.Fatalf("seed %d: %v does it to two nodes at a time", seed, steps)
				}
				ill = s.A[0]
			case Thaw, Room:
				if ill != s.A[0] {
					t.Fatalf("seed %d: %v cures what is not ill", seed, steps)
				}
				ill = -1
			case Kill, Restart:
				if ill == s.A[0] {
					t.Fatalf("seed %d: %v ends a frozen or full node", seed, steps)
				}
			}
		}
		if last := steps[len(steps)-1]; last.Action != Heal || ill >= 0 {
			t.Fatalf("seed %d: %v does not end whole", seed, steps)
		}
	}
}
