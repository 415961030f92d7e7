//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFullDisk: a node whose disk is full loses nothing that was acknowledged,
// and does not keep the others from serving (P12, P13). When there is room again
// it is started anew, and what waited elsewhere arrives.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	small := filepath.Join(dir, "node2", "data")
	if err := os.MkdirAll(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=48m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	trial, err := NewTrial(within(t, time.Minute), TrialConfig{Binary: program, Dir: dir, Nodes: 3,
		Options: map[string]string{"trade_consistency": "on"}, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeTrial(t, trial) })
	there, here := admit(t, trial, 1, visit{id: "there", persistent: true}), admit(t, trial, 0, visit{id: "here"})
	for _, p := range []*person{there, here} {
		if got := p.subscribe(within(t, 5*time.Second), "full", 1); got != "ok" {
			t.Fatal(got)
		}
	}
	there.Close()
	filler := filepath.Join(small, "filler")
	full, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 64<<10); err == nil; {
		_, err = full.Write(block)
	}
	_ = full.Close() // it is full
	writer := admit(t, trial, 2, visit{id: "writer"})
	var acked []string
	for i := range 60 {
		payload := fmt.Sprintf("%03d", i) + strings.Repeat("x", 32<<10)
		if got := writer.publish(within(t, 5*time.Second), "full", payload); got == "ok" {
			acked = append(acked, payload)
		}
	}
	t.Logf("%d of 60 acknowledged, with the disk of one receiver full", len(acked))
	waits, err := trial.Brokers[2].Metric(within(t, 5*time.Second), "spool_messages")
	if err != nil || waits == 0 {
		t.Errorf("%v messages wait at the node of the publisher (%v); the disk was not full", waits, err)
	}
	here.expect(t, 10*time.Second, acked...)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	trial.Brokers[1].Kill()
	if err := trial.Brokers[1].Start(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := trial.AwaitWhole(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	admit(t, trial, 1, visit{id: "there", persistent: true}).expect(t, 20*time.Second, acked...)
}
