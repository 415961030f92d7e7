package main

import (
	"encoding/json"
	"testing"

	"tombolo/bench/queues"
)

// TestBenchQueue runs every row of bench queue on few messages: each has its
// figures, nothing is lost, and each space, memory and start is far below what is
// asked at full size.
func TestBenchQueue(t *testing.T) {
	t.Setenv(asProgram, "1")
	for _, name := range queues.Names() {
		t.Run(name, func(t *testing.T) {
			got := runTool(t, "", "bench", "queue", name, "--scale", "0.001", "--duration", "300ms", "--json", "--quiet")
			var r queues.Result
			if err := json.Unmarshal([]byte(got.out.String()), &r); err != nil || got.code != exitOK || len(r.Rows) != 1 {
				t.Fatalf("exit code %d, %v: %s%s", got.code, err, got.out.String(), got.err.String())
			}
			for _, f := range r.Rows[0].Figures {
				small := f.Unit == "MiB" || f.Unit == "messages" || f.Unit == "s"
				if f.Value <= 0 && f.Unit != "MiB" && f.What != "after" || small && !f.Met() {
					t.Errorf("%+v", f)
				}
			}
			if n := len(r.Rows[0].Figures); n < 3 {
				t.Errorf("%d figures", n)
			}
		})
	}
	if got := runTool(t, "", "bench", "queue", "nonsense"); got.code != exitUsage {
		t.Errorf("a row that is none: exit code %d", got.code)
	}
}
