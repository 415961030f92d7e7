package peer

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBuiltin starts mosquitto in both forms, and ends it without a trace.
func TestBuiltin(t *testing.T) {
	for _, d := range Builtin()[:2] {
		if !d.Installed() || !strings.Contains(d.VersionLine(), "mosquitto version") {
			t.Fatalf("%s: installed %v, version %q", d.Name, d.Installed(), d.VersionLine())
		}
		b, err := Start(t.Context(), d, Profile{})
		if err != nil {
			t.Fatal(err)
		}
		pids := b.PIDs()
		if len(pids) != 1 {
			t.Errorf("%s: processes %v", d.Name, pids)
		}
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := net.Dial("tcp", b.Address); err == nil {
			t.Errorf("%s still listens", d.Name)
		}
		if err := syscall.Kill(pids[0], 0); err == nil {
			t.Errorf("%s: process %d is there", d.Name, pids[0])
		}
		if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
			t.Errorf("%s: its directory is there: %v", d.Name, err)
		}
	}
}

// TestLoad runs a broker from a file: a shell that starts mosquitto as its
// child, so that there are two processes.
func TestLoad(t *testing.T) {
	t.Setenv("TOMBOLO_ALLOW_ANONYMOUS", "off") // an option of ours is no business of a broker measured
	file := filepath.Join(t.TempDir(), "peer.json")
	text := `{"name": "child", "command": ["sh", "-c", "PATH=$PATH:/usr/sbin mosquitto -c {dir}/etc/m.conf; true"],
		"files": {"etc/m.conf": "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"},
		"environment": {"GREETING": "port {port}"}, "version": ["echo", "child 7"], "settings": "few"}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Load(file)
	if err != nil || d.VersionLine() != "child 7" {
		t.Fatalf("%+v, %v", d, err)
	}
	b, err := Start(t.Context(), d, Profile{})
	if err != nil {
		t.Fatal(err)
	}
	pids := b.PIDs()
	if len(pids) != 2 {
		t.Errorf("processes %v, want the shell and its child", pids)
	}
	has, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pids[0]), "environ"))
	if err != nil || !strings.Contains(string(has), "GREETING=port "+b.Address[strings.LastIndexByte(b.Address, ':')+1:]+"\x00") || strings.Contains(string(has), "TOMBOLO_") {
		t.Errorf("its environment, %v: %q", err, has)
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", b.Address); err == nil {
		t.Error("the child still listens")
	}
}

// TestDaemonEnds: what has left the group of its broker, as a daemon does, is ended
// with it.
func TestDaemonEnds(t *testing.T) {
	d := Builtin()[0]
	d.Command = append([]string{"sh", "-c", "setsid tail -f /dev/null & echo $! > {dir}/daemon; exec \"$0\" \"$@\"", "/usr/sbin/mosquitto"}, d.Command[1:]...)
	b, err := Start(t.Context(), d, Profile{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(b.dir, "daemon"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	has := func() bool {
		return slices.ContainsFunc(processes(), func(p process) bool { return p.pid == pid && !p.zombie })
	}
	if !has() {
		t.Fatal("there is no daemon")
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for has() {
		select {
		case <-timer.C:
			t.Fatalf("process %d is there", pid)
		case <-tick.C:
		}
	}
}

// TestEnded: a broker that dies is known to be dead, with its last words.
func TestEnded(t *testing.T) {
	d := Builtin()[0]
	d.Command = append([]string{"sh", "-c", "echo begun; exec \"$0\" \"$@\" 2>/dev/null", "/usr/sbin/mosquitto"}, d.Command[1:]...)
	b, err := Start(t.Context(), d, Profile{})
	if err != nil {
		t.Fatal(err)
	}
	if words, ended := b.Ended(); ended {
		t.Errorf("a running broker ended: %s", words)
	}
	if err := syscall.Kill(b.PIDs()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if words, ended := b.Ended(); !ended || words != "begun" {
		t.Errorf("a dead broker: ended %v, %q", ended, words)
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ text, want string }{
		{`{"name": "x"}`, "no command"},
		{`{"command": ["x"]}`, "no name"},
		{`{"name": "x", "command": ["x"], "fils": {}}`, "fils"},
		{`{"name": "x", "command": ["x"], "files": {"../y": ""}}`, "not within"},
		{`{`, "definition"},
	} {
		file := filepath.Join(dir, "p.json")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.text, err, c.want)
		}
	}
	if _, err := Load(filepath.Join(dir, "none")); err == nil {
		t.Error("loaded a file that is not there")
	}
	for _, c := range []struct {
		command []string
		want    string
	}{
		{[]string{"no-such-broker"}, "not installed"},
		{[]string{"sh", "-c", "echo bad luck >&2; exit 1"}, "bad luck"},
	} {
		if _, err := Start(t.Context(), Definition{Name: "x", Command: c.command}, Profile{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.command, err, c.want)
		}
	}
}

// TestStartIsCancelled: a broker that never answers is ended with the context.
func TestStartIsCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	d := Definition{Name: "deaf", Command: []string{"sh", "-c", "echo listening to nobody; read x < /dev/tty; exec tail -f /dev/null"}}
	if _, err := Start(ctx, d, Profile{}); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "tombolo-bench-deaf-*"))
	if len(left) > 0 {
		t.Errorf("directories are left: %v", left)
	}
}
