//go:build linux

package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, n int) *Network {
	t.Helper()
	w, err := New(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// echo serves lines on a host.
func echo(t *testing.T, h *Host) string {
	t.Helper()
	at := netip.AddrPortFrom(h.Addr(), 7).String()
	var l net.Listener
	if err := h.inside(func() (err error) { l, err = net.Listen("tcp", at); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	return at
}

// ask sends a line and waits for it to come back.
func ask(c net.Conn, wait time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := fmt.Fprintln(c, "hello"); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}

func dial(t *testing.T, h *Host, at string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestSweep: laboratories that begin side by side all remove what one that was killed
// has left, and none fails because another was first.
func TestSweep(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	left := fmt.Sprint(prefix, dead.Process.Pid, "-")
	for i := range 8 {
		if err := ip("netns", "add", fmt.Sprint(left, i)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := sweep(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if there, err := filepath.Glob(filepath.Join(namespaces, left+"*")); err != nil || len(there) > 0 {
		t.Errorf("left are %v (%v)", there, err)
	}
}

// TestCut: a cut in one direction is silent, stops what is under way, leaves the
// third host alone, and what was sent meanwhile arrives after the heal.
func TestCut(t *testing.T) {
	w := open(t, 3)
	at := echo(t, w.Host(1))
	first, third := dial(t, w.Host(0), at), dial(t, w.Host(2), at)
	for _, c := range []net.Conn{first, third} {
		if err := ask(c, 5*time.Second); err != nil {
			t.Fatalf("before the cut: %v", err)
		}
	}
	w.SetRule(1, 0, Rule{Cut: true})
	if err := ask(first, 300*time.Millisecond); err == nil {
		t.Fatal("an answer came through the cut")
	}
	if err := ask(third, 5*time.Second); err != nil {
		t.Fatalf("the third host: %v", err)
	}
	if w.Dropped(1, 0) == 0 || w.Dropped(0, 1) != 0 {
		t.Fatalf("dropped %d and %d; want some, and none", w.Dropped(1, 0), w.Dropped(0, 1))
	}
	w.Heal()
	_ = first.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := bufio.NewReader(first).ReadString('\n'); err != nil {
		t.Fatalf("after the heal: %v", err)
	}
}

// TestGroups: hosts of different groups do not reach each other, those of one do.
func TestGroups(t *testing.T) {
	w := open(t, 3)
	w.Cut([]int{0}, []int{1, 2})
	for from := range 3 {
		for to := range 3 {
			if want := from != to && (from == 0 || to == 0); w.RuleOf(from, to).Cut != want {
				t.Errorf("%d to %d: cut %v, want %v", from, to, !want, want)
			}
		}
	}
	if err := ask(dial(t, w.Host(2), echo(t, w.Host(1))), 5*time.Second); err != nil {
		t.Errorf("within a group: %v", err)
	}
}

// TestDelay: both directions delay, and packets stay in order.
func TestDelay(t *testing.T) {
	w := open(t, 2)
	c := dial(t, w.Host(0), echo(t, w.Host(1)))
	for _, way := range [][2]int{{0, 1}, {1, 0}} {
		w.SetRule(way[0], way[1], Rule{Delay: 40 * time.Millisecond, Jitter: 10 * time.Millisecond})
	}
	began := time.Now()
	if err := ask(c, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 80*time.Millisecond {
		t.Errorf("an answer after %v; twice 40 ms are on the way", took)
	}
}

// TestThrottle: a limit of bytes a second is kept.
func TestThrottle(t *testing.T) {
	w := open(t, 2)
	c := dial(t, w.Host(0), echo(t, w.Host(1)))
	w.SetRule(0, 1, Rule{BytesPerSecond: 200_000})
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	began := time.Now()
	go func() { _, _ = c.Write(make([]byte, 100_000)) }()
	if _, err := io.ReadFull(c, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 450*time.Millisecond {
		t.Errorf("100 KB in %v through 200 KB/s", took)
	}
}
