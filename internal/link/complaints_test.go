package link

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// TestComplaints: a node that is refused again and again is in the log once in a
// while, with a count, whatever ports it comes from; another reason or another
// host is said at once.
func TestComplaints(t *testing.T) {
	var c complaints
	port := 0
	from := func(host string) net.Addr { port++; return &net.TCPAddr{IP: net.ParseIP(host), Port: 40000 + port} }
	secret, member := errors.New("a wrong secret"), errors.New("no member")
	if got := c.line(from("10.0.0.1"), member, 0); !strings.Contains(got, "10.0.0.1: no member") {
		t.Errorf("the first time: %q", got)
	}
	for i := range 50 {
		if got := c.line(from("10.0.0.1"), member, int64(i)); got != "" {
			t.Fatalf("said again: %q", got)
		}
	}
	if c.line(from("10.0.0.1"), secret, 60) == "" || c.line(from("10.0.0.2"), member, 60) == "" {
		t.Error("another reason, or another host, is not said")
	}
	if got := c.line(from("10.0.0.1"), member, int64(complaintEvery)); !strings.Contains(got, "50 times more in the last "+complaintEvery.String()) {
		t.Errorf("after %v: %q", complaintEvery, got)
	}
	for i := range 3 * complaintsMax {
		c.line(from("10.0.0.1"), errors.New(strings.Repeat("x", i)), int64(time.Minute))
	}
	if n := len(c.mu.list); n > complaintsMax {
		t.Errorf("%d lines are remembered", n)
	}
}
