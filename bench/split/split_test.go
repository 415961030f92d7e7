package split

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"

	"tombolo/bench/peertest"
)

// TestRun watches two brokers of which one is frozen for a while: its clients
// wait for their answers until it goes on, those of the other do not.
func TestRun(t *testing.T) {
	well, frozen := peertest.Mosquitto(t), peertest.Mosquitto(t)
	c := Defaults()
	c.Targets = []string{well.Address, frozen.Address}
	c.Before, c.During, c.After, c.Every = time.Second, 2*time.Second, 3*time.Second, 100*time.Millisecond
	pid := strconv.Itoa(frozen.PID)
	c.Cut, c.Heal = []string{"kill", "-STOP", pid}, []string{"kill", "-CONT", pid}
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range probes {
		if r.Nodes[0].Noticed[p] != 0 {
			t.Errorf("%s at the broker that is well: %+v", p, r.Nodes[0])
		}
		slow := 0.0
		for _, s := range r.Nodes[1].Seconds {
			slow = max(slow, s[p].Slowest)
		}
		if slow < 1.5 || slow > 4 {
			t.Errorf("%s at the frozen broker: slowest answer %v s, want about 2", p, slow)
		}
	}
	if r.Hung != 0 {
		t.Errorf("%d hung", r.Hung)
	}
	var out bytes.Buffer
	if err := Write(&out, r); err != nil || !strings.Contains(out.String(), well.Address+" publish: open all the time") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestSum: refusals are told by code, and times count from cut and heal.
func TestSum(t *testing.T) {
	s := &run{cfg: &Config{Targets: []string{"a:1"}, Before: time.Second, During: time.Second, After: time.Second}}
	at := func(ms int, code string) {
		s.done = append(s.done, attempt{probe: ProbePublish, began: time.Duration(ms) * time.Millisecond, ok: code == "", code: code})
	}
	at(500, "")
	at(1200, "")
	at(1700, "0x83")
	at(1900, "0x83")
	at(2100, "0x83")
	at(2400, "")
	at(2600, "")
	r := &Result{CutAt: 1, HealAt: 2}
	s.sum(r)
	n := r.Nodes[0]
	near := func(got, want float64) bool { return got > want-0.001 && got < want+0.001 }
	if !near(n.Noticed[ProbePublish], 0.7) || !near(n.OpenAgain[ProbePublish], 0.4) {
		t.Errorf("noticed %v, open again %v", n.Noticed, n.OpenAgain)
	}
	if c := n.Seconds[1][ProbePublish].String(); c != "1 2(0x83)" {
		t.Errorf("second 1: %q", c)
	}
}

func TestCheck(t *testing.T) {
	c := Defaults()
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "--target") || !strings.Contains(err.Error(), "--cut") {
		t.Errorf("got %v", err)
	}
	c.Targets, c.Cut, c.Heal = []string{"127.0.0.1:1", "127.0.0.1:1"}, []string{"false"}, []string{"true"}
	c.Before = 10 * time.Millisecond
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "false") {
		t.Errorf("a cut that fails: %v", err)
	}
}
