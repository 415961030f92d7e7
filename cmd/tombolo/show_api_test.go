package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo/internal/admin"
	"tombolo/internal/metric"
)

// adminNode is a broker's administrative side with fixed contents.
type adminNode struct{ options map[string]*admin.Option }

func (n *adminNode) Options() []admin.Option {
	return []admin.Option{*n.options["allow_anonymous"], *n.options["nodename"]}
}

func (n *adminNode) Option(key string) (admin.Option, error) {
	if o := n.options[key]; o != nil {
		return *o, nil
	}
	return admin.Option{}, admin.NotFound("did you mean nodename?", "there is no option %q", key)
}

func (n *adminNode) SetOption(key, value string) error {
	if value == "maybe" {
		return errors.New("allow_anonymous takes on or off")
	}
	n.options[key].Value, n.options[key].Origin = value, "tombolo set"
	return nil
}

func (n *adminNode) Levels() []admin.Level {
	return []admin.Level{{Level: "info", Own: true}, {Subsystem: "mqtt", Level: "debug", Own: true}, {Subsystem: "store", Level: "info"}}
}

func (n *adminNode) SetLevel(subsystem, level string) error {
	if subsystem != "" || level != "warning" {
		return errors.New("unexpected level")
	}
	return nil
}

func (n *adminNode) Sessions(_ admin.SessionQuery, yield func(admin.Session) bool) {
	for _, s := range []admin.Session{
		{ClientID: "lamp", User: "eve\x1b[2J", PeerHost: "10.0.0.1", PeerPort: 4711, IsOnline: true},
		{ClientID: "sensor-1", User: "bob"},
		{ClientID: "sensor-2", User: "bob"},
	} {
		if !yield(s) {
			return
		}
	}
}

func (n *adminNode) Orphans() ([]admin.Orphan, error) {
	return []admin.Orphan{{ClientID: "lost", Messages: 7, DroppedAt: time.Unix(1_700_000_000, 0)}}, nil
}

func (n *adminNode) Moving() []admin.MovingQueue {
	return []admin.MovingQueue{{ClientID: "away", To: "n2", Sent: 3, Left: 4, Since: time.Unix(1_700_000_000, 0)}}
}

func (n *adminNode) DiscardOrphan(s admin.SessionName) (bool, error) {
	return s.ClientID == "lost", nil
}

func (n *adminNode) Disconnect(_ context.Context, s admin.SessionName, cleanup bool) (bool, error) {
	return s == admin.SessionName{Mountpoint: "m", ClientID: "a=b"} && cleanup, nil
}

func (n *adminNode) Retained(_, _ string, yield func(admin.RetainedMessage) bool) error {
	yield(admin.RetainedMessage{Topic: "a/b", Payload: []byte("on"), QoS: 1, ExpiresAt: time.Unix(1800000000, 0)})
	yield(admin.RetainedMessage{Topic: "c", Payload: []byte{0, 0xff}})
	return nil
}

func (n *adminNode) DeleteRetained(_ context.Context, _, topic string) (bool, error) {
	return topic == "a/b", nil
}

func (n *adminNode) Listeners() []admin.Listener {
	return []admin.Listener{{Name: "default", Type: "tcp", Status: "running", Address: "127.0.0.1", Port: 1883, ActiveConnections: 2, AllConnections: 9}}
}

// adminSocket serves an adminNode until the test ends.
func adminSocket(t *testing.T) string {
	t.Helper()
	n := &adminNode{options: map[string]*admin.Option{
		"allow_anonymous": {Key: "allow_anonymous", Value: "off", Default: "off", Origin: "default", Reloadable: true, Doc: "Lets anybody in."},
		"nodename":        {Key: "nodename", Value: "n1", Default: "node", Origin: "tombolo.conf:3"},
	}}
	m := metric.New()
	m.CounterVec(metric.Opts{Name: "publish_total", Help: "Publishes.", Verne: "mqtt_publish", Label: "version"}, "4", "5")["5"].Add(3e9)
	m.Histogram(metric.Opts{Name: "commit_seconds", Help: "Commits."}, []float64{0.001}).Observe(0.5)
	path := filepath.Join(t.TempDir(), "admin.sock")
	socket, err := admin.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	server := admin.New(admin.Config{
		Options: n, Levels: n, Sessions: n, Retained: n, Listeners: n, Metrics: m, Version: admin.Version{Node: "n1", Version: "1"},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.ServeSocket(ctx, socket) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

// runCommand runs the program with arguments and gives what it printed and
// the exit code.
func runCommand(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	root := newRoot()
	var stdout, stderr bytes.Buffer
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if err != nil {
		code = exitUsage
		var e *exitError
		if errors.As(err, &e) {
			code = e.code
		}
		stderr.WriteString(err.Error())
	}
	return stdout.String(), stderr.String(), code
}

func TestAdminCommands(t *testing.T) {
	socket := adminSocket(t)
	cases := []struct {
		args string
		code int
		out  string // exactly, unless empty
		errs string // a part of what stands on standard error
	}{
		{"ping", 0, "pong\n", ""},
		{"show", 0, "OPTION           VALUE  SET BY\nallow_anonymous  off    default\nnodename         n1     tombolo.conf:3\n", ""},
		{"show --changed", 0, "OPTION    VALUE  SET BY\nnodename  n1     tombolo.conf:3\n", ""},
		{"show --describe allow_anonymous", 0, "allow_anonymous = off\n  set by: default; default: off\n  changes at run time: tombolo set allow_anonymous=…\n  Lets anybody in.\n", ""},
		{"show nodenam", exitFailure, "", "did you mean nodename?"},
		{"show ..", exitFailure, "", "did you mean nodename?"},
		{"set allow_anonymous=on", 0, "allow_anonymous set to on\n", ""},
		{"set allow_anonymous=maybe", exitUsage, "", "takes on or off"},
		{"set allow_anonymous=off nodename=x", exitFailure, "", "nodename cannot change while the broker runs"},
		{"show allow_anonymous", 0, "OPTION           VALUE  SET BY\nallow_anonymous  on     tombolo set\n", ""},
		{"set nothing", exitUsage, "", "is not OPTION=VALUE"},
		{"metrics show publish --vernemq-names", 0, "METRIC                     VALUE\nmqtt_publish{version=\"4\"}  0\nmqtt_publish{version=\"5\"}  3000000000\n", ""},
		{"metrics show commit --describe", 0, "METRIC                             VALUE  KIND       MEANING\n" +
			"commit_seconds_bucket{le=\"0.001\"}  0      histogram  Commits.\ncommit_seconds_bucket{le=\"+Inf\"}   1      histogram  Commits.\n" +
			"commit_seconds_count               1      histogram  Commits.\ncommit_seconds_sum                 0.5    histogram  Commits.\n", ""},
		{"metrics show nonsense", exitFailure, "", "no metric has"},
		{"session show --client_id=lamp", 0, "CLIENT_ID  IS_ONLINE  MOUNTPOINT  PEER_HOST  PEER_PORT  USER\nlamp       true                   10.0.0.1   4711       \"eve\\x1b[2J\"\n", ""},
		{"session show --client_id --session_started_at --user=bob --limit 1", 0, "CLIENT_ID  SESSION_STARTED_AT\nsensor-1   -\n", "only the first 1 are shown"},
		{"queue moving", 0, "CLIENT  MOUNTPOINT  TO  SENT  LEFT  SINCE\naway                n2  3     4     2023-11-14T22:13:20Z\n", ""},
		{"queue orphans", 0, "CLIENT  MOUNTPOINT  MESSAGES  DROPPED AFTER\nlost                7         2023-11-14T22:13:20Z\n", ""},
		{"queue discard --client-id lost", 0, "Done\n", ""},
		{"queue discard --client-id other", exitFailure, "", "no orphaned queue"},
		{"queue discard", exitUsage, "", "say which"},
		{"session show --user=~(", exitUsage, "", "regexp"},
		{"session show --color", exitUsage, "", "unknown flag"},
		{"session disconnect client-id=a=b -m m --cleanup", 0, "Done\n", ""},
		{"session disconnect client-id=x", exitFailure, "", "tombolo session show lists them"},
		{"session disconnect x", exitUsage, "", "an example: tombolo session disconnect"},
		{"retain show", 0, "TOPIC  QOS  EXPIRES               PAYLOAD\na/b    1    2027-01-15T08:00:00Z  on\nc      0    -                     \"\\x00\\xff\"\n", ""},
		{"retain delete --topic a/b", 0, "Done\n", ""},
		{"retain delete --topic x", exitFailure, "", "no message is retained"},
		{"retain delete", exitUsage, "", "say which"},
		{"listener show", 0, "TYPE  NAME     STATUS   ADDRESS    PORT  MOUNTPOINT  MAX  ACTIVE  ALL\ntcp   default  running  127.0.0.1  1883              -    2       9\n", ""},
		{"log level", 0, "SUBSYSTEM  LEVEL  SET\nall        info   for all\nmqtt       debug  for itself\nstore      info   by all\n", ""},
		{"log level all=warning", 0, "", ""},
		{"log level mqtt=loud", exitUsage, "", "unexpected level"},
	}
	for _, c := range cases {
		args := append(strings.Fields(c.args), "--socket", socket)
		out, errs, code := runCommand(t, args...)
		if code != c.code || (c.out != "" && out != c.out) || !strings.Contains(errs, c.errs) || (c.errs == "" && errs != "") {
			t.Errorf("tombolo %s\nexit %d, want %d\nprinted:\n%swanted:\n%serrors: %q, want %q", c.args, code, c.code, out, c.out, errs, c.errs)
		}
	}
}

func TestAdminCommandsAsJSON(t *testing.T) {
	socket := adminSocket(t)
	for _, args := range []string{
		"ping", "show", "show nodename", "set allow_anonymous=on", "metrics show", "session show", "retain show",
		"retain delete --topic a/b", "listener show", "log level", "session disconnect client-id=a=b -m m -c",
	} {
		out, errs, code := runCommand(t, append(strings.Fields(args), "--json", "--socket", socket)...)
		if code != 0 || errs != "" || !json.Valid([]byte(out)) {
			t.Errorf("tombolo %s --json: exit %d, %q, %q", args, code, out, errs)
		}
	}
	if out, _, code := runCommand(t, "version", "--json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("version --json: exit %d, %s", code, out)
	}
	if out, _, code := runCommand(t, "version"); code != 0 || !strings.HasPrefix(out, "tombolo ") {
		t.Errorf("version: exit %d, %s", code, out)
	}
}

func TestWhenNoBrokerAnswers(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	mute, err := net.Listen("unix", filepath.Join(dir, "mute.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	cases := []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--socket", filepath.Join(dir, "none.sock")}, exitUnreachable, "is the broker running?"},
		{[]string{"--socket", dead}, exitUnreachable, "start it with tombolo start"},
		{[]string{"--socket", mute.Addr().String(), "--timeout", "20ms"}, exitTimeout, "try --timeout 60ms"},
		{[]string{"--api", "localhost"}, exitUsage, "http://127.0.0.1:8888"},
	}
	for _, c := range cases {
		_, errs, code := runCommand(t, append([]string{"ping"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "\n") {
			t.Errorf("ping %v: exit %d, %q; want %d with %q in one line", c.args, code, errs, c.code, c.want)
		}
	}
}

// TestAdminCommandsAreExplained holds every administrative command to a help
// text with an example that begins with its own name.
func TestAdminCommandsAreExplained(t *testing.T) {
	for _, path := range []string{
		"ping", "show", "set", "metrics show", "session show", "session disconnect", "retain show", "retain delete",
		"listener show", "log level", "version",
	} {
		c, rest, err := newRoot().Find(strings.Fields(path))
		if err != nil || len(rest) > 0 {
			t.Errorf("there is no command %q", path)
			continue
		}
		if c.Short == "" || !strings.Contains(c.Example, "tombolo "+path) {
			t.Errorf("%q: short text %q, example %q", path, c.Short, c.Example)
		}
		if c.Flags().Lookup("json") == nil {
			t.Errorf("%q has no --json", path)
		}
	}
}
