package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runConfig executes a command line with its own output, as main would.
func runConfig(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	t.Setenv(configVariable, "")
	root := newRoot()
	var out, errOut bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetArgs(append([]string{"config"}, args...))
	if err := root.Execute(); err != nil {
		code = exitUsage
		if e, ok := errors.AsType[*exitError](err); ok {
			code = e.code
		}
		errOut.WriteString(err.Error())
	}
	return out.String(), errOut.String(), code
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigCheck(t *testing.T) {
	good := configFile(t, "nodename = a\nlistener.tcp.x = 127.0.0.1:0\nqueue_deliver_mode = fanout\n")
	out, errOut, code := runConfig(t, "check", "--config", good)
	if code != exitOK || out != good+": good; 2 listeners\n" || !strings.Contains(errOut, "warning: "+good+":3: queue_deliver_mode: has no effect") {
		t.Errorf("good file: %d\n%s\n%s", code, out, errOut)
	}
	bad := configFile(t, "nodenam = a\nsystree_qos = 3\nvmq_acl.acl_file = /nowhere/acl\n")
	out, errOut, code = runConfig(t, "check", "-c", bad, "--max-inflight-messages=x")
	if code != exitUsage || out != "" {
		t.Errorf("bad file: %d\n%s", code, out)
	}
	for _, want := range []string{"has 4 faults", bad + ":1: there is no option nodenam; the nearest is nodename", bad + ":2: systree_qos: ", bad + ":3: vmq_acl.acl_file: cannot read", "flag --max-inflight-messages: "} {
		if !strings.Contains(errOut, want) {
			t.Errorf("bad file: no %q in\n%s", want, errOut)
		}
	}
	if _, errOut, code = runConfig(t, "check", "stray"); code != exitUsage || !strings.Contains(errOut, "stray") {
		t.Errorf("stray argument: %d %s", code, errOut)
	}
	if out, _, code = runConfig(t, "check", "--help"); code != exitOK || !strings.Contains(out, "--config") {
		t.Errorf("help: %d %s", code, out)
	}
}

func TestConfigShow(t *testing.T) {
	file := configFile(t, "cluster.secret_key = MDEyMzQ1Njc4OTAxMjM0NQ==\nsystree_mountpoint = 'a # b'\n")
	t.Setenv("TOMBOLO_ALLOW_ANONYMOUS", "on")
	out, _, code := runConfig(t, "show", "--config", file, "--origin", "--nodename", "n")
	want := strings.Join([]string{
		"nodename = n                   # flag --nodename",
		"allow_anonymous = on           # environment TOMBOLO_ALLOW_ANONYMOUS",
		"systree_mountpoint = 'a # b'   # " + file + ":2",
		"cluster.secret_key = ********  # " + file + ":1", "",
	}, "\n")
	if squeeze(out) != squeeze(want) || code != exitOK {
		t.Errorf("show --origin: %d\n%s\nwant\n%s", code, out, want)
	}
	out, _, _ = runConfig(t, "show", "--all", "--json")
	var rows []struct{ Key, Value, Origin, Default string }
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) < 200 {
		t.Errorf("show --all --json: %d rows, %v", len(rows), err)
	}
	if out, _, code = runConfig(t, "show", "--systree_qos", "9"); code != exitUsage {
		t.Errorf("show with a fault: %d %s", code, out)
	}
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestConfigDoc(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"doc"}, "# max_inflight_messages = 20", exitOK},
		{[]string{"doc", "--example"}, "# max_inflight_messages = 20", exitOK},
		{[]string{"doc", "--markdown"}, "### `max_inflight_messages`", exitOK},
		{[]string{"doc", "queue_full", "nodename"}, "$SYS", exitOK},
		{[]string{"doc", "queue_ful"}, "nearest is queue_full", exitUsage},
		{[]string{"doc", "--markdown", "queue_full"}, "not several", exitUsage},
		{[]string{"doc", "--markdown", "--example"}, "none of the others can be", exitUsage},
	} {
		out, errOut, code := runConfig(t, c.args...)
		if code != c.code || !strings.Contains(out+errOut, c.want) {
			t.Errorf("config %v: code %d, want %d; no %q in %.200s%.200s", c.args, code, c.code, c.want, out, errOut)
		}
	}
}

// TOMBOLO_CONFIG names the file when no flag does.
func TestConfigFileFromEnvironment(t *testing.T) {
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs([]string{"config", "show"})
	t.Setenv(configVariable, configFile(t, "nodename = from-variable\n"))
	if err := root.Execute(); err != nil || !strings.Contains(out.String(), "from-variable") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
