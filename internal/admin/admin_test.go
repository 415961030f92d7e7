package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tombolo/internal/metric"
)

// node is a broker as the tests imagine one. Guarded by mu.
type node struct {
	mu       sync.Mutex
	values   map[string]string
	levels   map[string]string
	gone     []string // "mountpoint/client cleanup"
	retained map[string]string
	reasons  []string
}

func newNode() *node {
	return &node{
		values:   map[string]string{"allow_anonymous": "off", "nodename": "n1"},
		levels:   map[string]string{"": "info", "mqtt": "info"},
		retained: map[string]string{"a/b": "x", "a/c": "y", "d": "z"},
	}
}

func (n *node) Health() []string { return n.reasons }
func (n *node) Ready() []string  { return append([]string{"routes are being exchanged"}, n.reasons...) }

func (n *node) Options() []Option {
	a, _ := n.Option("allow_anonymous")
	return []Option{a, {Key: "dark", Hidden: true}}
}

func (n *node) Option(key string) (Option, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, ok := n.values[key]
	if !ok {
		return Option{}, NotFound("did you mean allow_anonymous?", "there is no option %q", key)
	}
	return Option{Key: key, Value: v, Default: "off", Origin: "default", Reloadable: true}, nil
}

func (n *node) SetOption(key, value string) error {
	if value != "on" && value != "off" {
		return errors.New("want on or off")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.values[key] = value
	return nil
}

func (n *node) Levels() []Level {
	n.mu.Lock()
	defer n.mu.Unlock()
	return []Level{{Level: n.levels[""], Own: true}, {Subsystem: "mqtt", Level: n.levels["mqtt"]}}
}

func (n *node) SetLevel(subsystem, level string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.levels[subsystem]; !ok {
		return fmt.Errorf("no subsystem is called %q", subsystem)
	}
	n.levels[subsystem] = level
	return nil
}

func (n *node) Sessions(q SessionQuery, yield func(Session) bool) {
	for i := range 300 {
		s := Session{ClientID: fmt.Sprintf("c%03d", i), PeerPort: i, IsOnline: i%2 == 0, User: "u"}
		if i == 299 {
			s.Mountpoint, s.ClientID = "m", "c007"
		}
		if q.Exact != nil && *q.Exact != (SessionName{s.Mountpoint, s.ClientID}) {
			continue
		}
		if q.Subscriptions {
			s.Subscriptions = []Subscription{{Filter: "t/#", QoS: 1}, {Filter: s.ClientID, QoS: i % 3}}
		}
		if !yield(s) {
			return
		}
	}
}

func (n *node) Disconnect(_ context.Context, s SessionName, cleanup bool) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = append(n.gone, fmt.Sprintf("%s/%s %v", s.Mountpoint, s.ClientID, cleanup))
	return s.ClientID != "nobody", nil
}

func (n *node) Retained(_, filter string, yield func(RetainedMessage) bool) error {
	for _, topic := range []string{"a/b", "a/c", "d"} {
		if (filter == "" || strings.HasPrefix(topic, strings.TrimSuffix(filter, "#"))) && !yield(RetainedMessage{Topic: topic, Payload: []byte(n.retained[topic])}) {
			break
		}
	}
	return nil
}

func (n *node) DeleteRetained(_ context.Context, _, topic string) (bool, error) {
	return n.retained[topic] != "", nil
}

func (n *node) Listeners() []Listener { return []Listener{{Name: "default", Status: "suspended"}} }

func (n *node) Subscribers(_, topic string) ([]Subscriber, error) {
	if topic == "#" {
		return nil, Invalid("a topic has no wildcards", "# is a filter")
	}
	return nil, nil
}

func (n *node) Orphans() ([]Orphan, error) { return []Orphan{{ClientID: "lost", Messages: 7}}, nil }

func (n *node) Moving() []MovingQueue {
	return []MovingQueue{{ClientID: "away", To: "n2", Sent: 3, Left: 4}}
}

func (n *node) DiscardOrphan(s SessionName) (bool, error) { return s.ClientID == "lost", nil }

func (n *node) Stores() []StoreInfo { return nil }

func (n *node) InspectStore(name string) (any, error) {
	if name != "queue" {
		return nil, NotFound("there is queue", "there is no store %q", name)
	}
	return map[string]int{"keys": 3}, nil
}

func (n *node) VerifyStore(_ context.Context, name string) (StoreReport, error) {
	return StoreReport{Name: name, Keys: 3}, nil
}

func config(n *node) Config {
	m := metric.New()
	m.Counter(metric.Opts{Name: "mqtt_x_total", Help: "X.", Verne: "mqtt_x"}).Add(2)
	m.GaugeFunc(metric.Opts{Name: "odd", Help: "Odd."}, math.NaN)
	m.Histogram(metric.Opts{Name: "commit_seconds", Help: "C."}, []float64{1}).Observe(0.5)
	return Config{
		Version: Version{Node: "n1", Version: "0.1"}, Health: n, Options: n, Levels: n, Sessions: n, Retained: n,
		Subscriptions: n, Listeners: n, Stores: n, Metrics: m, Status: func() Status { return Status{Online: 4} },
		Exposition: metric.Exposition{Namespace: "tombolo"},
	}
}

// serve runs a server on a listener of its own until the test ends.
func serve(t *testing.T, c Config, a Access) (base string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, func(ctx context.Context) error { return New(c).Serve(ctx, ln, a) })
	return "http://" + ln.Addr().String()
}

func start(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
}

func serveSocket(t *testing.T, c Config) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "admin.sock")
	socket, err := ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	start(t, func(ctx context.Context) error { return New(c).ServeSocket(ctx, socket) })
	return path
}

func TestAPIOverTheSocket(t *testing.T) {
	n := newNode()
	path := serveSocket(t, config(n))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the socket's mode is %v (%v), want 0600", info.Mode(), err)
	}
	cases := []struct {
		method, path, body string
		status             int
		want               string // what the answer holds
	}{
		{"GET", "/api/v1/version", "", 200, `"version":"0.1"`},
		{"GET", "/api/v1/status", "", 200, `"num_online":4`},
		{"GET", "/api/v1/options", "", 200, `{"options":[{"key":"allow_anonymous","value":"off","default":"off","origin":"default","reloadable":true}]}`},
		{"GET", "/api/v1/options?hidden=true", "", 200, `"key":"dark"`},
		{"GET", "/api/v1/options/allow_anon", "", 404, `"hint":"did you mean allow_anonymous?"`},
		{"PUT", "/api/v1/options/allow_anonymous", `{"value":"on"}`, 200, `"value":"on"`},
		{"PUT", "/api/v1/options/allow_anonymous", `{"value":"maybe"}`, 400, `want on or off`},
		{"PUT", "/api/v1/options/allow_anonymous", `{"valeu":"on"}`, 400, `unknown field`},
		{"PUT", "/api/v1/options/allow_anonymous", `{}`, 400, `no value`},
		{"PUT", "/api/v1/options/allow_anonymous", `{"value":"on"} {}`, 400, `follows`},
		{"PUT", "/api/v1/options/nothing", `{"value":"on"}`, 404, `no option`},
		{"PUT", "/api/v1/options/allow_anonymous", `"` + strings.Repeat("x", 2<<20) + `"`, 400, `too large`},
		{"PUT", "/api/v1/log/levels", `{"levels":[{"subsystem":"mqtt","level":"debug"}]}`, 200, `{"subsystem":"mqtt","level":"debug","own":false}`},
		{"PUT", "/api/v1/log/levels", `{"levels":[{"subsystem":"x","level":"debug"}]}`, 400, `no subsystem`},
		{"GET", "/api/v1/listeners", "", 200, `"status":"suspended"`},
		{"GET", "/api/v1/metrics?filter=mqtt_", "", 200, `{"metrics":[{"name":"mqtt_x_total","kind":"counter","help":"X.","vernemq_name":"mqtt_x","value":2}]}`},
		{"GET", "/api/v1/metrics?filter=odd", "", 200, `"value":null`},
		{"GET", "/api/v1/metrics?filter=commit", "", 200, `"value":0.5,"count":1,"buckets":[{"le":1,"count":1}]`},
		{"GET", "/api/v1/retained?filter=a/%23", "", 200, `"topic":"a/c","payload":"eQ=="`},
		{"GET", "/api/v1/retained?limit=2", "", 200, `"truncated":true`},
		{"GET", "/api/v1/retained?limit=0", "", 400, `limit`},
		{"DELETE", "/api/v1/retained?topic=d", "", 200, `"done":true`},
		{"DELETE", "/api/v1/retained?topic=e", "", 404, `no message is retained`},
		{"DELETE", "/api/v1/retained", "", 400, `no topic`},
		{"GET", "/api/v1/subscriptions?topic=a", "", 200, `{"subscribers":[]}`},
		{"GET", "/api/v1/subscriptions?topic=%23", "", 400, `wildcards`},
		{"GET", "/api/v1/store", "", 200, `{"stores":[]}`},
		{"GET", "/api/v1/store/queue", "", 200, `{"keys":3}`},
		{"GET", "/api/v1/store/other", "", 404, `there is no store`},
		{"POST", "/api/v1/store/queue/verify", "", 200, `{"name":"queue","keys":3,"findings":[]}`},
		{"POST", "/api/v1/store", "", 405, `use GET`},
		{"GET", "/api/v2/x", "", 404, `docs/http-api.md`},
	}
	hc := &http.Client{Transport: NewSocketClient(path).http.Transport}
	defer hc.CloseIdleConnections()
	for _, c := range cases {
		checkAnswer(t, hc, "http://localhost", c.method, c.path, c.body, c.status, c.want)
	}
}

func checkAnswer(t *testing.T, hc *http.Client, base, method, path, body string, status int, want string) {
	t.Helper()
	got, text := ask(t, hc, base, method, path, body)
	if got != status || !strings.Contains(text, want) {
		t.Errorf("%s %s: %d %s\nwant %d with %s", method, path, got, text, status, want)
	}
	if strings.HasPrefix(path, "/api/") && status >= 400 && (!strings.Contains(text, `{"error":"`) || strings.Contains(text, `"hint":""`)) {
		t.Errorf("%s %s: %s has not the one shape of errors", method, path, text)
	}
}

func ask(t *testing.T, hc *http.Client, base, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := hc.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestHealth(t *testing.T) {
	n := newNode()
	all := Access{Health: true, Metrics: true}
	base := serve(t, config(n), all)
	hc := &http.Client{}
	defer hc.CloseIdleConnections()
	checkAnswer(t, hc, base, "GET", "/health", "", 200, `{"status":"OK"}`)
	checkAnswer(t, hc, base, "GET", "/health/ping", "", 200, `{"status":"OK"}`)
	checkAnswer(t, hc, base, "GET", "/ready", "", 503, `{"status":"DOWN","reasons":["routes are being exchanged"]}`)
	checkAnswer(t, hc, base, "GET", "/health/listeners", "", 503, `listener default is suspended`)
	checkAnswer(t, hc, base, "POST", "/health", "", 405, `use GET`)
	checkAnswer(t, hc, base, "GET", "/metrics", "", 200, "\ntombolo_mqtt_x_total 2\n")
	checkAnswer(t, hc, serve(t, Config{}, all), "GET", "/health", "", 503, `does not tell`)
	closed := serve(t, config(n), Access{})
	for _, path := range []string{"/health", "/metrics", "/debug/pprof/", "/nothing"} {
		checkAnswer(t, hc, closed, "GET", path, "", 404, "")
	}
}

func TestWhoMayUseTheAPI(t *testing.T) {
	hc := &http.Client{}
	defer hc.CloseIdleConnections()
	shut := serve(t, config(newNode()), Access{Health: true, Metrics: true})
	for _, path := range []string{"/api/v1/version", "/api/v1/options/allow_anonymous", "/api/v1/unknown"} {
		checkAnswer(t, hc, shut, "GET", path, "", 403, `use the admin socket`)
	}
	open := serve(t, config(newNode()), Access{API: true, Profile: true})
	checkAnswer(t, hc, open, "GET", "/api/v1/version", "", 200, `0.1`)
	checkAnswer(t, hc, open, "GET", "/debug/pprof/cmdline", "", 200, ``)
	for name, value := range map[string]string{
		"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Host": "rebound.example",
	} {
		r, _ := http.NewRequest("GET", open+"/api/v1/version", nil)
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
		answer, err := hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 403 {
			t.Errorf("%s: %s was answered with %d, want 403", name, value, answer.StatusCode)
		}
	}
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // so that it returns if it should serve after all
	if err := New(config(newNode())).Serve(ended, ln, Access{API: true}); err == nil {
		t.Error("the API was opened on 0.0.0.0")
	}
}

func TestSocketPeers(t *testing.T) {
	r := httptest.NewRequest("GET", "/api/v1/version", nil)
	me := os.Geteuid()
	for _, c := range []struct {
		d  door
		ok bool
	}{
		{door{socket: true, uid: me}, true},
		{door{socket: true, uid: 0}, true},
		{door{socket: true, uid: me + 12345}, false},
		{door{socket: true, uid: me, err: errors.New("no credentials")}, false},
		{door{}, false},
	} {
		if err := c.d.allow(r); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.d, err)
		}
	}
}

func TestListenSocketAndWhatIsInTheWay(t *testing.T) {
	path := serveSocket(t, config(newNode()))
	if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "another broker answers") {
		t.Errorf("a living socket was taken over: %v", err)
	}
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	socket, err := ListenSocket(stale)
	if err != nil {
		t.Fatalf("what a dead broker left behind was not replaced: %v", err)
	}
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		file:                             "taken by something",
		filepath.Join(dir, "no", "x"):    "no such file",
		"/" + strings.Repeat("long", 40): "shorter",
	} {
		if _, err := ListenSocket(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", p, err, want)
		}
	}
}

func TestMissingPartsAnswer501(t *testing.T) {
	c := NewSocketClient(serveSocket(t, Config{}))
	defer c.Close()
	for _, r := range Routes() {
		if r.Path == "/api/v1/version" {
			continue
		}
		path := strings.NewReplacer("{key}", "k", "{name}", "n").Replace(r.Path)
		var e *Error
		if err := c.Do(t.Context(), r.Method, path, nil, nil, nil); !errors.As(err, &e) || e.Status != 501 {
			t.Errorf("%s %s: %v, want 501", r.Method, path, err)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := newBoundedListener(inner, 1)
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	for range 2 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-accepted
	select {
	case <-accepted:
		t.Fatal("a second connection was accepted beyond the bound")
	default:
	}
	if len(ln.slots) != 1 {
		t.Fatalf("%d slots taken, want 1", len(ln.slots))
	}
	_ = first.Close()
	_ = first.Close() // gives its slot back once
	second := <-accepted
	_ = ln.Close()
	if _, more := <-accepted; more {
		t.Fatal("a closed listener accepted")
	}
	_ = second.Close()
}

func TestClientErrors(t *testing.T) {
	if _, err := NewURLClient("localhost:8888"); err == nil {
		t.Error("an address without scheme was taken")
	}
	c := NewSocketClient(filepath.Join(t.TempDir(), "none.sock"))
	if err := c.Do(t.Context(), "GET", "/", nil, nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	c, err := NewURLClient(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), "GET", "/", nil, nil, nil); err == nil || !strings.Contains(err.Error(), "not this API") {
		t.Errorf("another server: %v", err)
	}
}
