package e2e

import (
	"strings"
	"testing"
)

// TestStartsSilently: one line on standard output, health, metrics, and an
// orderly end.
func TestStartsSilently(t *testing.T) {
	n := newNode(t, "log.level", "warning", "allow_anonymous", "off", "listener.max_connections", "100")
	n.passwords("alice", "secret")
	n.rules("topic #\n")
	n.start()
	if out := n.stdout.String(); strings.Count(out, "\n") != 1 {
		t.Errorf("start said %q; want one line", out)
	}
	for _, part := range []string{"is ready", n.tcp, n.ws, n.http, n.options["data_dir"], n.options["vmq_passwd.password_file"], "tombolo ping --socket"} {
		if !strings.Contains(n.stdout.String(), part) {
			t.Errorf("the line %q does not name %s", n.stdout.String(), part)
		}
	}
	for _, path := range []string{"/health", "/ready", "/health/ping"} {
		if status, body := n.get(path); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if n.metric("tombolo_connections_active", "") != 0 {
		t.Error("connections before any client came")
	}
	if got := tool(t, "ping", "--socket", n.options["data_dir"]+"/admin.sock"); got.code != 0 || got.out != "pong\n" {
		t.Errorf("ping: %+v", got)
	}
	n.terminate()
	if out := n.stderr.String(); out != "" {
		t.Errorf("standard error: %s", out)
	}
}
