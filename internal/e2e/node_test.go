package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// node is one tombolo process and what it takes to start it again: its
// configuration and data directory. Owned by its test.
type node struct {
	tb      testing.TB
	dir     string            // holds the configuration, data and certificates
	options map[string]string // of the configuration file
	args    []string          // the command line behind the program; empty: start with the file
	under   []string          // a command that the program is started under, such as prlimit
	tcp, ws string            // addresses of the listeners
	http    string

	cmd    *exec.Cmd
	stdout *tail
	stderr *tail
	ended  chan struct{} // closed when the process has ended
}

// tail keeps what a process writes. Safe for concurrent use. Bound: what the
// tests make a node write.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newNode prepares a node with listeners for TCP, WebSocket and HTTP on free
// ports, open to everyone. Options are given as key, value, …
func newNode(tb testing.TB, options ...string) *node {
	tb.Helper()
	n := &node{tb: tb, dir: tb.TempDir(), options: map[string]string{
		"allow_anonymous": "on",
		"log.level":       "debug",
		"systree_enabled": "off",
	}}
	n.options["data_dir"] = filepath.Join(n.dir, "data")
	n.options["leveldb.maximum_memory"] = "64MB"
	n.addresses()
	for i := 0; i < len(options); i += 2 {
		n.options[options[i]] = options[i+1]
	}
	tb.Cleanup(n.cleanup)
	return n
}

// startNode prepares and starts one.
func startNode(tb testing.TB, options ...string) *node {
	tb.Helper()
	n := newNode(tb, options...)
	n.start()
	return n
}

func (n *node) addresses() {
	n.tcp, n.ws, n.http = freeAddress(n.tb), freeAddress(n.tb), freeAddress(n.tb)
	n.options["listener.tcp.default"] = n.tcp
	n.options["listener.ws.default"] = n.ws
	n.options["listener.http.default"] = n.http
}

func (n *node) cleanup() {
	if n.cmd == nil {
		return
	}
	n.kill()
	if n.tb.Failed() {
		n.tb.Logf("the node's log:\n%s", lastLines(n.stderr.String(), 60))
	}
}

func lastLines(s string, count int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// write writes a file, whole or not at all, as an editor does.
func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		tb.Fatal(err)
	}
}

// config writes the configuration file and returns its path.
func (n *node) config() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(n.options)) {
		fmt.Fprintf(&b, "%s = %s\n", k, n.options[k])
	}
	path := filepath.Join(n.dir, "tombolo.conf")
	write(n.tb, path, b.String())
	return path
}

// passwords makes the password file with the user.
func (n *node) passwords(user, password string) {
	n.tb.Helper()
	n.options["vmq_passwd.password_file"] = filepath.Join(n.dir, "passwd")
	if got := run(n.tb, n.dir, binary, "passwd", "-c", "-b", n.options["vmq_passwd.password_file"], user, password); got.code != 0 {
		n.tb.Fatalf("tombolo passwd: %+v", got)
	}
}

// rules writes the ACL file.
func (n *node) rules(text string) {
	n.tb.Helper()
	n.options["vmq_acl.acl_file"] = filepath.Join(n.dir, "acl")
	write(n.tb, n.options["vmq_acl.acl_file"], text)
}

// start starts the node and waits for the line that says it is ready. At the
// first start it looks for other ports if some have been taken meanwhile.
func (n *node) start() {
	n.tb.Helper()
	for first, try := n.cmd == nil, 0; ; try++ {
		said := n.launch()
		if said == "" {
			return
		}
		if !first || try == 3 || !strings.Contains(said, "in use") {
			n.tb.Fatalf("the node did not start: %s", said)
		}
		n.addresses()
	}
}

// launch starts the process and returns what it said if it ended instead of
// becoming ready.
func (n *node) launch() string {
	n.tb.Helper()
	args := n.args
	if len(args) == 0 {
		args = []string{"start", "--config", n.config()}
	}
	all := append(append(slices.Clone(n.under), binary), args...)
	n.cmd = exec.Command(all[0], all[1:]...)
	n.cmd.Dir = n.dir
	n.stdout, n.stderr, n.ended = &tail{}, &tail{}, make(chan struct{})
	n.cmd.Stderr = n.stderr
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		n.tb.Fatalf("starting %v: %v", all, err)
	}
	ready := make(chan struct{})
	go watch(n.cmd, out, n.stdout, ready, n.ended)
	select {
	case <-ready:
		return ""
	case <-n.ended:
		return n.stderr.String()
	case <-time.After(patience):
		n.kill()
		return "not ready in time: " + n.stderr.String()
	}
}

// watch reads standard output to its end, says when the node is ready, and
// waits for the process.
func watch(cmd *exec.Cmd, out io.Reader, keep *tail, ready, ended chan struct{}) {
	defer close(ended)
	said := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(keep, lines.Text())
		if !said && strings.Contains(lines.Text(), " is ready") {
			said = true
			close(ready)
		}
	}
	_ = cmd.Wait() // how it ended is in ProcessState
}

// kill ends the process as kill -9 does.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may have ended already
	<-n.ended
}

func (n *node) signal(s syscall.Signal) {
	n.tb.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.tb.Fatal(err)
	}
}

// exit waits for the process to end and returns its exit code.
func (n *node) exit(limit time.Duration) int {
	n.tb.Helper()
	select {
	case <-n.ended:
	case <-time.After(limit):
		n.tb.Fatalf("the process has not ended within %v", limit)
	}
	return n.cmd.ProcessState.ExitCode()
}

// terminate drains the node and wants exit code 0.
func (n *node) terminate() {
	n.tb.Helper()
	n.signal(syscall.SIGTERM)
	if code := n.exit(patience); code != 0 {
		n.tb.Fatalf("exit code %d after SIGTERM, want 0", code)
	}
}

func (n *node) pid() int { return n.cmd.Process.Pid }

// logged waits for a line of the log that has all of the words.
func (n *node) logged(words ...string) {
	n.tb.Helper()
	eventually(n.tb, patience, fmt.Sprintf("a line of the log with %q", words), func() bool {
		return hasLine(n.stderr.String(), words...)
	})
}

func hasLine(text string, words ...string) bool {
	return slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
	})
}

// result is what a command that has ended left behind. A value.
type result struct {
	code        int
	out, stderr string
}

// runs a program to its end.
func run(tb testing.TB, dir string, name string, args ...string) result {
	tb.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		tb.Fatalf("starting %s: %v", name, err)
	}
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			tb.Fatalf("%s: %v", name, err)
		}
	case <-time.After(2 * patience):
		_ = cmd.Process.Kill()
		<-done
		tb.Fatalf("%s %v has not ended within %v\n%s%s", name, args, 2*patience, out.String(), errs.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// tool runs a subcommand of the program.
func tool(tb testing.TB, args ...string) result {
	tb.Helper()
	return run(tb, tb.TempDir(), binary, args...)
}
