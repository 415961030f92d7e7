package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// banner reads what make run prints when it is ready: a row for each node, and the
// commands to try.
func banner(t *testing.T, broker *shell) (rows [][]string, commands []string) {
	t.Helper()
	broker.says("Ctrl-C stops all.")
	text := broker.all.String()
	for line := range strings.SplitSeq(text, "\n") {
		switch words := strings.Fields(line); {
		case len(words) == 6 && strings.HasPrefix(words[0], "node") && words[1] != "|":
			rows = append(rows, words)
		case strings.HasPrefix(line, "  bin/tombolo "):
			commands = append(commands, strings.TrimSpace(line))
		}
	}
	if len(rows) != 3 || len(commands) != 5 {
		t.Fatalf("make run says of %d nodes and %d commands:\n%s", len(rows), len(commands), text)
	}
	return rows, commands
}

// pasteBanner: every address that make run prints is one where it is so, and every
// command does what it is printed for.
func pasteBanner(t *testing.T, dir string, broker *shell) {
	t.Helper()
	rows, commands := banner(t, broker)
	for _, r := range rows {
		_, port, err := net.SplitHostPort(r[1])
		if err != nil {
			t.Fatal(err)
		}
		paste(t, dir, "bin/tombolo pub -q 1 -t a -m b -p "+port)
		if c, err := net.Dial("tcp", r[2]); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		if answer, err := http.Get("http://" + r[3] + "/ready"); err != nil {
			t.Error(err)
		} else if answer.Body.Close(); answer.StatusCode != http.StatusOK {
			t.Errorf("%s is not ready: %s", r[0], answer.Status)
		}
		if info, err := os.Stat(filepath.Join(dir, r[4])); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", r[4], err)
		}
		paste(t, dir, "bin/tombolo ping --socket "+r[5])
	}
	subscriber := openShell(t, dir, commands[0]+" -q 1")
	eventually(t, patience, "the subscription is there", func() bool {
		return strings.Contains(run(t, dir, "bin/tombolo", "session", "show", "--topic").out, "hello/#")
	})
	paste(t, dir, commands[1])
	subscriber.says("hello/you good morning")
	subscriber.interrupt()
	<-subscriber.ended
	paste(t, dir, commands[2])
	sees := func(what string, times int) {
		eventually(t, patience, what, func() bool {
			return strings.Count(run(t, dir, "bash", "-c", commands[3]).out, what) == times
		})
	}
	sees("NETSPLIT", 1) // of those that node 1 reaches: itself
	paste(t, dir, commands[4])
	sees("whole", 3)
}

// leavesNothing: no process that was started in a directory runs any more, and no
// socket is left in it.
func leavesNothing(t *testing.T, dir string) {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range list {
		if at, err := os.Readlink(link); err == nil && (at == dir || strings.HasPrefix(at, dir+"/")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline")) // it may end now
			t.Errorf("still there: %s %q", link, line)
		}
	}
	sockets, err := filepath.Glob(filepath.Join(dir, "data/*/*.sock"))
	if err != nil || len(sockets) > 0 {
		t.Errorf("left behind: %v %v", sockets, err)
	}
}
