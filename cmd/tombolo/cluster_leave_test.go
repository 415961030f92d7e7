package main

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestLeaveOutlives: the command says that a node has left when the process does not
// answer any more, so that whoever starts it then finds its data directory free.
func TestLeaveOutlives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server := &http.Server{}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"leaving":true,"phase":"gone"}`))
		if asked.Add(1) == 4 {
			go func() { _ = server.Close() }() // the process ends
		}
	})
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	got := runTool(t, "", "cluster", "leave", "-k", "--socket", path)
	if n := asked.Load(); got.code != 0 || n < 4 || !strings.Contains(got.out.String(), "Done") {
		t.Errorf("asked %d times, exit code %d: %s%s", n, got.code, got.out.String(), got.err.String())
	}
	_ = server.Close()
	<-served
}
