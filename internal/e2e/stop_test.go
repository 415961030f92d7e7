package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// TestDrain: SIGTERM tells MQTT 5 clients, is not held up by clients that do
// not read or never said anything, and keeps what is queued.
func TestDrain(t *testing.T) {
	for _, c := range []struct {
		timeout string
		max     time.Duration // with some time for a busy machine
	}{{"30s", 9 * time.Second}, {"1s", 5 * time.Second}} {
		t.Run("shutdown_timeout "+c.timeout, func(t *testing.T) { testDrain(t, startNode(t, "shutdown_timeout", c.timeout), c.max) })
	}
}

func testDrain(t *testing.T, n *node, limit time.Duration) {
	n.joined("away", keeping(3600), "news").Disconnect(packet.Success)
	told := make(chan error, 1)
	listening := n.watched("listening", told)
	listening.listen("noise", 0)
	silent, err := net.Dial("tcp", n.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	deaf := n.deaf()
	defer deaf.Close()
	halting, err := net.Dial("tcp", n.http) // asks half a question
	if err != nil {
		t.Fatal(err)
	}
	defer halting.Close()
	if _, err := halting.Write([]byte("GET /metrics HTTP/1.1\r\nHost: ")); err != nil {
		t.Fatal(err)
	}
	pub := n.join("pub", nil)
	noise := strings.Repeat("x", 1<<20)
	for range 8 { // more than the sockets' buffers hold
		pub.send("deaf", noise, 0, false)
	}
	pub.send("news", "queued", 1, false)
	began := time.Now()
	n.signal(syscall.SIGTERM)
	var d *client.DisconnectedError
	if err := receive(t, "the end of the connection", told); !errors.As(err, &d) || d.Reason != packet.ServerShuttingDown {
		t.Errorf("the client was told %v, want DISCONNECT 0x8B", err)
	}
	n.signal(syscall.SIGHUP) // as of a log rotation just now: it changes nothing
	if code := n.exit(limit); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	t.Logf("stopped after %v", time.Since(began).Round(time.Millisecond))
	n.start()
	n.join("away", keeping(3600)).gets("news", "queued")
}

// watched connects a client and tells how its connection ended.
func (n *node) watched(id string, ended chan<- error) *user {
	n.tb.Helper()
	ctx, cancel := limited()
	defer cancel()
	cl, err := client.Dial(ctx, client.Config{Address: n.tcp, Connect: packet.Connect{
		Version: packet.V5, CleanStart: true, ClientID: []byte(id)}})
	if err != nil {
		n.tb.Fatal(err)
	}
	go func() { ended <- cl.Run(n.tb.Context()) }()
	return &user{cl, n.tb}
}

// deaf connects and subscribes a client that reads nothing from then on.
func (n *node) deaf() net.Conn {
	n.tb.Helper()
	conn, err := net.Dial("tcp", n.tcp)
	if err != nil {
		n.tb.Fatal(err)
	}
	out := packet.AppendConnect(nil, &packet.Connect{Version: packet.V311, CleanStart: true, ClientID: []byte("deaf")})
	out = packet.AppendSubscribe(out, packet.V311, &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("deaf")}}})
	if _, err := conn.Write(out); err != nil {
		n.tb.Fatal(err)
	}
	var answers [4 + 5]byte // CONNACK and SUBACK
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		n.tb.Fatal(err)
	}
	for got := 0; got < len(answers); {
		k, err := conn.Read(answers[got:])
		if err != nil {
			n.tb.Fatal(err)
		}
		got += k
	}
	return conn
}

// admitted reports whether user and password are let in.
func (n *node) admitted(name, password string) bool {
	ctx, cancel := limited()
	defer cancel()
	c := packet.Connect{Version: packet.V5, CleanStart: true, ClientID: []byte("login"), HasUsername: true,
		Username: []byte(name), HasPassword: true, Password: []byte(password)}
	cl, err := client.Dial(ctx, client.Config{Address: n.tcp, Connect: c, Timeout: patience})
	if err != nil {
		var refused *client.RefusedError
		if !errors.As(err, &refused) {
			n.tb.Errorf("%s: %v", name, err)
		}
		return false
	}
	cl.Close()
	return true
}

// mayPublish reports whether alice is let publish to a topic.
func (n *node) mayPublish(topic string) bool {
	n.tb.Helper()
	u := n.join("alice", func(c *packet.Connect) {
		c.HasUsername, c.Username, c.HasPassword, c.Password = true, []byte("alice"), true, []byte("one")
	})
	defer u.Close()
	ctx, cancel := limited()
	defer cancel()
	reason, _, err := u.Publish(ctx, &packet.Publish{Topic: []byte(topic), QoS: 1})
	if err != nil {
		n.tb.Fatal(err)
	}
	return !reason.Failed()
}

// TestReload: password and ACL files are read again after their interval, or
// at once on SIGHUP, together with certificates and the log file.
func TestReload(t *testing.T) {
	for _, c := range []struct {
		name, interval string
		hangup         bool
	}{{"interval", "1s", false}, {"SIGHUP", "0", true}} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, "allow_anonymous", "off",
				"vmq_passwd.password_reload_interval", c.interval, "vmq_acl.acl_reload_interval", c.interval)
			n.passwords("alice", "one")
			n.rules("topic allowed\n")
			n.start()
			if !n.admitted("alice", "one") || n.admitted("alice", "two") || n.admitted("bob", "two") {
				t.Fatal("the password file is not obeyed")
			}
			if !n.mayPublish("allowed") || n.mayPublish("later") {
				t.Fatal("the ACL file is not obeyed")
			}
			if got := tool(t, "passwd", "-b", n.options["vmq_passwd.password_file"], "bob", "two"); got.code != 0 {
				t.Fatalf("passwd: %+v", got)
			}
			n.rules("topic later\n")
			if c.hangup {
				n.signal(syscall.SIGHUP)
			}
			eventually(t, patience, "bob is known", func() bool { return n.admitted("bob", "two") })
			eventually(t, patience, "the new rule holds", func() bool { return n.mayPublish("later") })
			if n.mayPublish("allowed") {
				t.Error("the old rule still holds")
			}
		})
	}
}

// TestHangupReopens: SIGHUP reads certificates again and goes on in a new log
// file when the old one was moved away.
func TestHangupReopens(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "node.log")
	n, secure := startTLSNode(t, "log.console", "file", "log.console.file", log)
	first := served(t, secure.ssl)
	selfSigned(t, secure.ca, filepath.Join(n.dir, "server.key"))
	if err := os.Rename(log, log+".old"); err != nil {
		t.Fatal(err)
	}
	n.signal(syscall.SIGHUP)
	eventually(t, patience, "the new certificate is served", func() bool { return !bytes.Equal(served(t, secure.ssl), first) })
	eventually(t, patience, "the log goes on in a new file", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(text), "files were read again")
	})
	// A certificate that is no certificate changes nothing.
	second := served(t, secure.ssl)
	write(t, secure.ca, "nonsense")
	n.signal(syscall.SIGHUP)
	eventually(t, patience, "the fault is in the log", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(text), "reload failed")
	})
	if !bytes.Equal(served(t, secure.ssl), second) {
		t.Error("a broken certificate replaced a good one")
	}
}

// served is the certificate that a listener shows.
func served(tb testing.TB, address string) []byte {
	tb.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // looking, not trusting
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Raw
}

// TestFaultsAtStart: one line says which and what to do.
func TestFaultsAtStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	running := startNode(t)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	const usage, environment = 2, 6 // docs/cli.md
	for _, c := range []struct {
		name    string
		options []string
		code    int
		words   []string // of one line on standard error
		lines   int
	}{
		{"port in use", []string{"listener.tcp.default", taken.Addr().String()}, environment,
			[]string{"listener.tcp.default", taken.Addr().String(), "in use", "stop"}, 1},
		{"http port in use", []string{"listener.http.default", taken.Addr().String()}, environment,
			[]string{"listener.http.default", taken.Addr().String(), "in use"}, 1},
		{"data_dir is a file", []string{"data_dir", file}, environment, []string{"data_dir", file, "choose"}, 1},
		{"data_dir below a file", []string{"data_dir", file + "/data"}, environment, []string{"data_dir", file, "choose"}, 1},
		{"data_dir not writable", []string{"data_dir", "/proc/self"}, environment, []string{"data_dir", "/proc/self", "not writable", "set data_dir"}, 1},
		{"store locked", []string{"data_dir", running.options["data_dir"]}, environment,
			[]string{running.options["data_dir"], "in use by another process", "stop it"}, 1},
		{"unknown option", []string{"max_inflight_mesages", "5"}, usage, []string{"max_inflight_mesages", "max_inflight_messages", "tombolo.conf:"}, 2},
		{"missing certificate", []string{"listener.ssl.default", "127.0.0.1:1", "listener.ssl.certfile", "/nowhere/c.pem", "listener.ssl.keyfile", "/nowhere/k.pem"},
			usage, []string{"certfile", "/nowhere/c.pem", "no such file"}, 3},
		{"no listener", []string{"listener.tcp.default", "off", "listener.ws.default", "off"}, environment, []string{"listener.tcp.default", "no listener"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, append(c.options, "log.console", "off")...)
			if said := n.launch(); said == "" {
				t.Fatal("the node started")
			}
			if code := n.exit(patience); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			said := n.stderr.String()
			if !hasLine(said, c.words...) || strings.Count(said, "\n") != c.lines {
				t.Errorf("standard error has %d lines, want %d, one of them with %q:\n%s", strings.Count(said, "\n"), c.lines, c.words, said)
			}
			if n.stdout.String() != "" {
				t.Errorf("standard output: %s", n.stdout)
			}
		})
	}
	if status, body := running.get("/health"); status != 200 {
		t.Errorf("the node whose store was wanted: %d %s", status, body)
	}
}

// TestHintForRefusedClients: when nobody can get in, one line says why.
func TestHintForRefusedClients(t *testing.T) {
	n := startNode(t, "allow_anonymous", "off")
	for range 3 {
		if n.admitted("alice", "one") {
			t.Fatal("a client without a password was let in")
		}
	}
	n.logged("every client is refused", "tombolo passwd")
	if got := strings.Count(n.stderr.String(), "every client is refused"); got != 1 {
		t.Errorf("the hint came %d times, want once", got)
	}
}

// TestWarningsAtStart: what an operator should know without asking.
func TestWarningsAtStart(t *testing.T) {
	n := newNode(t, "listener.max_connections", "5000")
	n.under = []string{"prlimit", "--nofile=300:300"}
	n.start()
	n.logged("allow_anonymous is on")
	n.logged("max_connections", "10000", "300", "LimitNOFILE")
	quiet := startNode(t, "allow_anonymous", "off", "listener.max_connections", "10")
	if said := quiet.stderr.String(); strings.Contains(said, "allow_anonymous is on") || strings.Contains(said, "descriptor") {
		t.Errorf("warnings without a reason: %s", said)
	}
}

// TestDescriptorLimit: at the limit of open files new connections are refused
// and counted, accepting does not spin, and all is well when some have left.
func TestDescriptorLimit(t *testing.T) {
	n := newNode(t)
	n.under = []string{"prlimit", "--nofile=64:64"}
	n.start()
	health, err := net.Dial("tcp", n.http) // asked later, when no descriptor is left
	if err != nil {
		t.Fatal(err)
	}
	health.Close()
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range 80 {
		c, err := net.Dial("tcp", n.tcp)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	n.logged("connection refused", "descriptors")
	before := n.cpu()
	pause(time.Second)
	if used := n.cpu() - before; used > 300*time.Millisecond {
		t.Errorf("at the limit the node used %v of CPU in a second", used)
	}
	for _, c := range open {
		c.Close()
	}
	open = nil
	// Who comes while the node has not noticed yet that they left is refused at once.
	eventually(t, patience, "descriptors of those that left are free", func() bool {
		used, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.pid()))
		return err == nil && len(used) < 40
	})
	n.join("after", nil).send("a", "b", 1, false)
	if refused := n.metric("tombolo_connections_refused_descriptors_total", ""); refused < 10 {
		t.Errorf("%v connections were counted as refused, want at least 10", refused)
	}
}

// TestDescriptorsKeptForFiles: however many clients come, there are descriptors
// left for what the store writes next, and for who asks the node what is wrong.
// The store took nothing more until a restart, and nobody got an answer.
func TestDescriptorsKeptForFiles(t *testing.T) {
	n := newNode(t, "leveldb.maximum_memory", "16MB") // the write buffer is 2 MB of it
	n.under = []string{"prlimit", "--nofile=256:256"}
	n.start()
	n.joined("away", keeping(3600), "news").Disconnect(packet.Success)
	pub := n.join("pub", nil)
	served := 0
	for refused := 0; refused < 5; {
		switch err := n.occupy(fmt.Sprint("many", served)); {
		case err == nil:
			served++
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Fatal("a connection at the limit is neither served nor closed")
		default:
			refused++
		}
	}
	for i := range 12 {
		pub.send("news", fmt.Sprint(i, strings.Repeat("x", 500_000)), 1, false) // several files of the store
	}
	if status, body := n.ask("/ready"); status != http.StatusOK {
		t.Errorf("/ready: %d %s", status, body)
	}
	if got := tool(t, "session", "show", "--socket", filepath.Join(n.dir, "data", "admin.sock")); got.code != 0 || !strings.Contains(got.out, "away") {
		t.Errorf("tombolo session show: %+v", got)
	}
	if served < 100 || served > 192 {
		t.Errorf("%d clients were let in with a limit of 256 descriptors, of which 64 are to be kept", served)
	}
	n.logged("connection refused", "descriptors", "LimitNOFILE")
}

// occupy connects a client of MQTT 3.1.1 that stays until the test ends.
func (n *node) occupy(id string) error {
	c, err := net.DialTimeout("tcp", n.tcp, patience)
	if err != nil {
		return err
	}
	n.tb.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	b := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, byte(len(id))}, id...)
	if _, err := c.Write(b); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 4))
	return err
}

// cpu is the processor time that the node has used.
func (n *node) cpu() time.Duration {
	n.tb.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.pid()))
	if err != nil {
		n.tb.Fatal(err)
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		n.tb.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
}
