package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shellBlocks returns the lines of each ```sh block of a page, without
// comments.
func shellBlocks(page string) [][]string {
	var blocks [][]string
	inside := false
	for lines := bufio.NewScanner(strings.NewReader(page)); lines.Scan(); {
		line := lines.Text()
		switch {
		case line == "```sh":
			inside = true
			blocks = append(blocks, nil)
		case strings.HasPrefix(line, "```"):
			inside = false
		case inside:
			if command, _, _ := strings.Cut(line, " #"); strings.TrimSpace(command) != "" {
				blocks[len(blocks)-1] = append(blocks[len(blocks)-1], strings.TrimSpace(command))
			}
		}
	}
	return blocks
}

// readme returns the blocks of the README in the order in which this test
// knows them, and fails if they are others.
func readme(t *testing.T) (two, sub, pub, look, split, server []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	b := shellBlocks(string(page))
	if len(b) != 6 || len(b[0]) != 2 || b[0][0] != "make run" || len(b[1]) != 1 || len(b[2]) != 1 || !strings.Contains(b[4][0], "dev split") ||
		!strings.Contains(b[5][len(b[5])-1], "tombolo start") {
		t.Fatalf("README.md has other commands than this test pastes: %q", b)
	}
	return b[0], b[1], b[2], b[3], b[4], b[5]
}

// cleanCopy is what a newcomer has after git clone.
func cleanCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	script := `git -C "$1" ls-files -z -co --exclude-standard | tar -C "$1" --null --ignore-failed-read -T - -c 2>/dev/null | tar -x -C "$2" && git init -q "$2"`
	if got := run(t, dir, "bash", "-c", script, "copy", root, dir); got.code != 0 {
		t.Fatalf("copying the sources: %+v", got)
	}
	return dir
}

// shell is a command that runs in the background as in a terminal of its own.
// Owned by its test.
type shell struct {
	tb    testing.TB
	cmd   *exec.Cmd
	lines chan string
	all   *tail
	ended chan struct{}
}

func openShell(tb testing.TB, dir, command string) *shell {
	tb.Helper()
	s := &shell{tb: tb, lines: make(chan string, 1024), all: &tail{}, ended: make(chan struct{})}
	s.cmd = exec.Command("bash", "-c", command)
	s.cmd.Dir = dir
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C reaches the whole group
	out, in, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = in, in
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	in.Close()
	go func() {
		defer close(s.ended)
		s.read(out)
		_ = s.cmd.Wait()
	}()
	tb.Cleanup(func() {
		s.interrupt()
		select {
		case <-s.ended:
		case <-time.After(patience):
			_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
			<-s.ended
		}
		if tb.Failed() {
			tb.Logf("$ %s\n%s", command, s.all)
		}
	})
	return s
}

func (s *shell) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		_, _ = s.all.Write(append(bytes.Clone(lines.Bytes()), '\n')) // a buffer takes all
		select {
		case s.lines <- lines.Text():
		default: // more than anyone looks at
		}
	}
}

func (s *shell) interrupt() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT) }

// says waits for a line that contains text.
func (s *shell) says(text string) {
	s.tb.Helper()
	over := time.After(5 * time.Minute) // make run compiles everything first
	for {
		select {
		case line := <-s.lines:
			if strings.Contains(line, text) {
				return
			}
		case <-s.ended:
			if strings.Contains(s.all.String(), text) {
				return
			}
			s.tb.Fatalf("it ended without saying %q:\n%s", text, s.all)
		case <-over:
			s.tb.Fatalf("it does not say %q:\n%s", text, s.all)
		}
	}
}

// defaultsFree fails if something has the ports that make run uses.
func defaultsFree(t *testing.T) {
	t.Helper()
	for _, address := range []string{"127.0.0.1:1883", "127.0.0.1:1884", "127.0.0.1:1885", "127.0.0.1:8083", "127.0.0.1:8888", "127.0.0.1:24051"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("this test pastes the README's commands, which use %s: %v; stop what listens there", address, err)
		}
		l.Close()
	}
}

// TestFirstTenMinutes pastes the README's commands as they stand into a clean
// copy, and those that make run prints. Ctrl-C leaves nothing of it.
func TestFirstTenMinutes(t *testing.T) {
	two, sub, pub, look, split, server := readme(t)
	defaultsFree(t)
	dir := cleanCopy(t)
	broker := openShell(t, dir, two[0])
	broker.says("is ready")
	broker.says("tombolo pub") // the banner names the next command
	subscriber := openShell(t, dir, sub[0])
	eventually(t, patience, "the subscription is there", func() bool {
		return strings.Contains(run(t, dir, "bin/tombolo", "session", "show", "--topic").out, "hello/#")
	})
	paste(t, dir, pub[0])
	subscriber.says("hello/you good morning")
	for i, want := range []string{"tombolo-", "mqtt_publish", "publish_received"} {
		if got := paste(t, dir, look[i]); !strings.Contains(got.out, want) {
			t.Errorf("$ %s\n%s", look[i], got.out)
		}
	}
	pasteSplit(t, dir, split)
	subscriber.interrupt()
	<-subscriber.ended
	pasteBanner(t, dir, broker)
	broker.interrupt()
	<-broker.ended
	defaultsFree(t)
	leavesNothing(t, dir)
	pasteServer(t, dir, server)
}

// pasteSplit cuts the cluster in two, and sees both sides say so.
func pasteSplit(t *testing.T, dir string, commands []string) {
	t.Helper()
	for _, c := range commands {
		got := paste(t, dir, c)
		if strings.Contains(c, "cluster show") && !strings.Contains(got.out, "NETSPLIT") {
			t.Errorf("$ %s\n%s", c, got.out)
		}
	}
	eventually(t, patience, "the cluster is whole", func() bool {
		return strings.Count(run(t, dir, "bin/tombolo", "cluster", "show").out, "whole") == 3
	})
}

// paste runs one line, which must succeed.
func paste(t *testing.T, dir, command string) result {
	t.Helper()
	got := run(t, dir, "bash", "-c", command)
	if got.code != 0 {
		t.Errorf("$ %s\nexit code %d\n%s%s", command, got.code, got.out, got.stderr)
	}
	return got
}

// pasteServer goes through the block for a server; the password is typed.
func pasteServer(t *testing.T, dir string, commands []string) {
	t.Helper()
	for _, c := range commands[:len(commands)-1] {
		if strings.Contains(c, " passwd ") {
			c = "echo correct horse | " + c
		}
		paste(t, dir, c)
	}
	start := openShell(t, dir, commands[len(commands)-1])
	start.says("is ready")
	got := run(t, dir, "bin/tombolo", "pub", "-t", "a", "-m", "b", "-u", "alice", "-P", "wrong")
	if got.code != 4 {
		t.Errorf("with a wrong password: %+v, want exit code 4", got)
	}
	start.interrupt()
	<-start.ended
}

// TestTools: what the other commands say.
func TestTools(t *testing.T) {
	n := startNode(t)
	if got := tool(t, "version"); got.code != 0 || !strings.HasPrefix(got.out, "tombolo ") {
		t.Errorf("version: %+v", got)
	}
	got := tool(t, "completion", "bash")
	if got.code != 0 || !strings.Contains(got.out, "complete -o default") {
		t.Errorf("completion: code %d, %d bytes", got.code, len(got.out))
	}
	path := filepath.Join(t.TempDir(), "completion")
	write(t, path, got.out)
	if got := run(t, t.TempDir(), "bash", "-n", path); got.code != 0 {
		t.Errorf("bash does not take the completion: %+v", got)
	}
	n.terminate()
	if got := run(t, n.dir, binary, "doctor", "--config", filepath.Join(n.dir, "tombolo.conf")); got.code != 0 ||
		!hasLine(got.out, "descriptors") || !hasLine(got.out, "clock") || !hasLine(got.out, "disk sync") || !hasLine(got.out, "data directory") {
		t.Errorf("doctor: %+v", got)
	}
	n.start()
	if got := run(t, n.dir, binary, "doctor", "--config", filepath.Join(n.dir, "tombolo.conf")); got.code != 0 || !hasLine(got.out, n.tcp, "the broker runs") {
		t.Errorf("doctor beside the node: %+v", got)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	got = run(t, n.dir, binary, "doctor", "--listener.tcp.default", other.Addr().String(), "--listener.http.default", freeAddress(t))
	if got.code != 1 || !hasLine(got.out, "fault", other.Addr().String()) || !strings.Contains(got.out, "→") {
		t.Errorf("doctor with a port that somebody has: %+v; want exit code 1 and a remedy", got)
	}
}
