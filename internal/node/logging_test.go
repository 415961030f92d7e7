package node

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"tombolo/mqtt/broker"
)

// TestCrowdIsOneLine: a thousand clients that are turned away, and a thousand whose
// CONNECT does not come in time, are a line each; what ends single connections is told
// of each.
func TestCrowdIsOneLine(t *testing.T) {
	var out strings.Builder
	l := limitRefusals(slog.New(slog.NewTextHandler(&out, nil)))
	for i := range 1000 {
		l.Warn(broker.ClosedText, "client", "", "detail", "client did not finish CONNECT within mqtt_connect_timeout")
		l.Warn(broker.ClosedText, "client", fmt.Sprint(i), "code", "0x88")
	}
	for i := range 3 {
		l.Warn(broker.ClosedText, "client", fmt.Sprint(i), "code", "0x82")
		l.Warn("another matter")
	}
	for text, want := range map[string]int{"did not finish": 1, "0x88": 1, "0x82": 3, "another": 3} {
		if n := strings.Count(out.String(), text); n != want {
			t.Errorf("%d lines with %q, want %d:\n%s", n, text, want, out.String())
		}
	}
}
