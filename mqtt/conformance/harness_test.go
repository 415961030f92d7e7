package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo/internal/node"
	"tombolo/internal/option"
)

// patience is how long a test waits for what must come; it is only used up by
// a test that fails.
const patience = time.Minute

// broker is a whole node in this process. Immutable once started.
type broker struct {
	addrs []string // of the MQTT listeners, in the order of the configuration
	web   string
	dir   string
	stop  func() error
}

// shared is the node of all tests that need no options of their own. It is
// started by TestMain and told apart by client ids and topics.
var shared *broker

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if shared, err = launch(dir, "receive_max_broker=50", "topic_alias_max_client=4", "topic_alias_max_broker=2", "max_message_size=100000"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "the shared node did not stop well:", err)
		return 1
	}
	return code
}

// start runs a node for one test; options are of the form key=value.
func start(t *testing.T, options ...string) *broker {
	t.Helper()
	return startIn(t, t.TempDir(), options...)
}

func startIn(t *testing.T, dir string, options ...string) *broker {
	t.Helper()
	b, err := launch(dir, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error("node did not stop well:", err)
		}
	})
	return b
}

// launch starts a node whose files are in dir. Unless the options name MQTT
// listeners there is one, and everyone may do everything unless they name an
// ACL file.
func launch(dir string, options ...string) (*broker, error) {
	base := []string{
		"listener.http.default=127.0.0.1:0", "allow_anonymous=on", "systree_enabled=off",
		"data_dir=" + filepath.Join(dir, "data"), "log.console=file", "log.console.level=debug",
		"log.console.file=" + filepath.Join(dir, "log"), "shutdown_timeout=2s",
	}
	all := strings.Join(options, "\n")
	if !strings.Contains(all, "listener.") {
		base = append(base, "listener.tcp.default=127.0.0.1:0")
	}
	var src option.Sources
	for _, o := range append(base, options...) {
		key, value, _ := strings.Cut(o, "=")
		src.Base = append(src.Base, option.Assignment{Key: key, Value: value, Origin: option.Origin{Kind: option.FromOption, Name: "test"}})
	}
	set, faults := option.Load(src)
	if len(faults) > 0 {
		return nil, fmt.Errorf("options: %v", faults)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan []string, 1), make(chan error, 1)
	n := node.New(node.Config{
		Settings: set, AllowAll: !strings.Contains(all, "acl_file"),
		OnReady: func(n *node.Node) { ready <- n.Addresses() },
	})
	go func() { ended <- n.Run(ctx) }()
	b := &broker{dir: dir}
	b.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	select {
	case addrs := <-ready:
		for _, a := range addrs {
			kind, addr, _ := strings.Cut(a, " ")
			if kind == "http" {
				b.web = addr
			} else {
				b.addrs = append(b.addrs, addr)
			}
		}
		return b, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}

// counter reads one number of /metrics; label is "" or of the form name="x".
func (b *broker) counter(t *testing.T, name, label string) int {
	t.Helper()
	r, err := http.Get("http://" + b.web + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		head, value, _ := strings.Cut(line, " ")
		metric, labels, _ := strings.Cut(head, "{")
		if !strings.HasSuffix(metric, name) || label != "" && !strings.Contains(labels, label) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	t.Fatalf("no metric %s{%s}", name, label)
	return 0
}

// logLines returns the lines of the log that hold all of the given parts.
func (b *broker) logLines(t *testing.T, parts ...string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range bytes.Split(text, []byte("\n")) {
		all := len(line) > 0
		for _, p := range parts {
			all = all && bytes.Contains(line, []byte(p))
		}
		if all {
			found = append(found, string(line))
		}
	}
	return found
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !f() {
		select {
		case <-deadline.C:
			t.Fatalf("did not happen: %s", what)
		case <-look.C:
		}
	}
}

func (b *broker) socket(t *testing.T, listener int) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", b.addrs[listener])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}
