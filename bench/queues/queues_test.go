package queues

import (
	"strings"
	"testing"
	"time"
)

// TestTable: what is asked holds in its direction, and what has no figure asked of
// it says nothing.
func TestTable(t *testing.T) {
	r := &Result{Scale: 1, Rows: []Row{{Name: "r", Took: time.Second, Fault: "3 lost", Figures: []Figure{
		{"fast", 120_000, "/s", 100_000, true}, {"slow", 99_999, "/s", 100_000, true},
		{"small", 15, "ms", 15, false}, {"large", 15.01, "ms", 15, false}, {"told", 7, "s", 0, false},
	}}}}
	var text strings.Builder
	if err := Write(&text, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"120000 /s  ≥ 100000: yes", "99999 /s   ≥ 100000: no", "15.00 ms   ≤ 15.00: yes", "15.01 ms   ≤ 15.00: no", "7.00 s ", "warning: r: 3 lost"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	if strings.Contains(text.String(), "7.00 s     ≤") {
		t.Errorf("something is asked of what is only told:\n%s", &text)
	}
	if _, err := Run(t.Context(), Config{Rows: []string{"boot", "nonsense"}, Scale: 1, Duration: 1}); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a row that is none: %v", err)
	}
}
