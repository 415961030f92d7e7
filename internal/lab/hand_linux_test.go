package lab

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestByHand: an operator rehearses a split with a configuration of his own: tombolo
// lab up, the commands that it prints, cuts and faults by word, and down. Nothing
// of it is left on the machine.
func TestByHand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "own.conf")
	text := "allow_anonymous = on\ntrade_consistency = off\nallow_publish_during_netsplit = majority\ncluster.secret_key = dG9tYm9sbyBsYWIga2V5IQ==\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 2*time.Minute)
	up := exec.CommandContext(ctx, program, "lab", "up", "--config", file, "--dir", dir)
	out, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	up.Cancel = func() error { return up.Process.Signal(os.Interrupt) }
	up.WaitDelay = 20 * time.Second
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	var printed []string
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "Ctrl-C ends it."; {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "tombolo" {
			printed = append(printed, strings.Join(words[1:], " "))
		}
	}
	if len(printed) != 3 {
		_ = up.Cancel()
		t.Fatalf("lab up prints %q (%v)", printed, up.Wait())
	}
	tool := func(command string) string {
		t.Helper()
		text, err := exec.CommandContext(ctx, program, strings.Fields(command)...).CombinedOutput()
		if err != nil {
			t.Errorf("$ tombolo %s: %v\n%s", command, err, text)
		}
		return string(text)
	}
	sees := func(what string) {
		t.Helper()
		looks, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		for !strings.Contains(tool(printed[1]), what) {
			if pause(looks, 100*time.Millisecond); looks.Err() != nil {
				t.Fatalf("node 1 does not see %q:\n%s", what, tool(printed[1]))
			}
		}
	}
	sees("whole")
	tool(printed[0])
	sees("NETSPLIT")
	tool(printed[2])
	sees("whole")
	tool("lab freeze 3")
	sees("NETSPLIT")
	tool("lab thaw 3")
	tool("lab delay 1 2 20ms")
	if got := tool("lab show"); !strings.Contains(got, "20ms") {
		t.Errorf("lab show: %s", got)
	}
	if text, err := exec.CommandContext(ctx, program, "lab", "split", "1").CombinedOutput(); err == nil {
		t.Errorf("half a command is taken: %s", text)
	}
	tool("lab down")
	if err := up.Wait(); err != nil {
		t.Errorf("lab up ended with %v", err)
	}
	if _, err := os.Stat("/sys/class/net/" + HereDevice); err == nil {
		t.Errorf("the device %s is left behind", HereDevice)
	}
}
