package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tombolo/bench"
	"tombolo/bench/compare"
)

// asProgram makes the test binary the program itself, so that tests can start
// brokers of this very code as processes. It must not begin with TOMBOLO_, which
// would make it an option.
const asProgram = "RUN_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(exitOK)
	}
	os.Exit(m.Run())
}

// littleRuns is a small instance of each scenario.
var littleRuns = []string{
	"latency --pairs 2 --rate 500", "p2p --pairs 2 -q 1", "p2p --pairs 2 -q 2 -V 5", "fanin --publishers 3", "fanout --subscribers 3 --payload 4096",
	"shared --publishers 2 --subscribers 3", "connect --connections 50", "idle --connections 30",
	"subscribe --filters 500 --subscribers 3", "match --filters 500 --subscribers 3 -q 1",
	"retained --messages 200", "offline --sessions 4 --messages 30",
}

// TestBenchOwnBroker runs every scenario on our own broker, which compare
// starts, and on one that a file defines.
func TestBenchOwnBroker(t *testing.T) {
	t.Setenv(asProgram, "1")
	dir := t.TempDir()
	file := filepath.Join(dir, "other.json")
	text := `{"name": "other", "command": ["mosquitto", "-c", "{dir}/m.conf"], "settings": "from a file",
		"files": {"m.conf": "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "report.html")
	args := []string{"bench", "compare", "--broker", "tombolo", "--broker", file, "--json", "--html", page, "--quiet"}
	for _, run := range littleRuns {
		fast := " --warm-up 20ms --duration 60ms"
		if !strings.HasPrefix(run, "connect") && !strings.HasPrefix(run, "idle") {
			fast += " --drain 10s"
		}
		args = append(args, "--run", run+fast)
	}
	got := runTool(t, "", args...)
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.err.String())
	}
	var c compare.Comparison
	if err := json.Unmarshal([]byte(got.out.String()), &c); err != nil || len(c.Rows) != len(littleRuns) || c.Brokers[1].Settings != "from a file" {
		t.Fatalf("%v, %d rows, %+v", err, len(c.Rows), c.Brokers)
	}
	for _, row := range c.Rows {
		for i, cell := range row.Cells {
			if len(cell.Failures) > 0 || len(cell.Results) != 1 {
				t.Errorf("%s on %s: %q", row.Name, c.Brokers[i].Name, cell.Failures)
				continue
			}
			checkLittle(t, c.Brokers[i].Name, row.Name, cell.Results[0])
		}
	}
	if text, err := os.ReadFile(page); err != nil || strings.Count(string(text), "<svg") < 4*len(littleRuns) {
		t.Errorf("report: %v, %d drawings", err, strings.Count(string(text), "<svg"))
	}
	kept := filepath.Join(dir, "kept.json")
	if err := os.WriteFile(kept, []byte(got.out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := runTool(t, "", "bench", "report", kept); again.code != 0 || !strings.Contains(again.out.String(), "match --filters 500") {
		t.Errorf("report of a comparison: %d, %s%s", again.code, again.out.String(), again.err.String())
	}
}

func checkLittle(t *testing.T, broker, run string, r *bench.Result) {
	t.Helper()
	d := r.Delivery
	if r.Broker == nil && r.Idle == nil {
		t.Errorf("%s on %s: the broker was not measured", run, broker)
	}
	switch {
	case r.Idle != nil || r.Connect != nil:
		return
	case d.Sent == 0 || d.Received != d.Expected || d.Lost+d.Duplicated+d.Reordered+d.Foreign+d.Refused > 0:
		t.Errorf("%s on %s: %+v", run, broker, d)
	}
}

// TestBenchProfiles: the bench and the broker that it starts write theirs, and
// the broker still drains.
func TestBenchProfiles(t *testing.T) {
	t.Setenv(asProgram, "1")
	dir := t.TempDir()
	got := runTool(t, "", "bench", "p2p", "--broker", "tombolo", "--pairs", "2", "--duration", "60ms", "--warm-up", "20ms", "--drain", "10s",
		"--profile", "mem", "--broker-profile", "cpu", "--profile-dir", dir, "--html", filepath.Join(dir, "r.html"))
	if got.code != 0 || !strings.Contains(got.out.String(), "broker deliveries /CPU s") || !strings.Contains(got.err.String(), "run 1/1  starting") {
		t.Fatalf("exit code %d: %s%s", got.code, got.out.String(), got.err.String())
	}
	for _, file := range []string{"mem.pprof", "broker-1/cpu.pprof", "r.html"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Size() < 200 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestBenchProfilesOfNodes: each node of a cluster writes its own, which is what
// the program is compiled with for messages that cross nodes (make pgo).
func TestBenchProfilesOfNodes(t *testing.T) {
	t.Setenv(asProgram, "1")
	dir := t.TempDir()
	got := runTool(t, "", "bench", "p2p", "--broker", "tombolo-3-cross", "--pairs", "2", "--duration", "60ms", "--warm-up", "20ms", "--drain", "10s",
		"--broker-profile", "cpu", "--profile-dir", dir)
	if got.code != 0 {
		t.Fatalf("exit code %d: %s%s", got.code, got.out.String(), got.err.String())
	}
	for _, node := range []string{"node1", "node2", "node3"} {
		if info, err := os.Stat(filepath.Join(dir, "broker-1", node, "cpu.pprof")); err != nil || info.Size() < 200 {
			t.Errorf("%s: %v", node, err)
		}
	}
}

// TestBenchReport holds two kept results beside each other.
func TestBenchReport(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"a", "b"} {
		r := bench.Result{Settings: bench.Settings{Scenario: bench.P2P, Broker: name}, Rates: bench.Rates{Delivered: 42}}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(dir, name+".json"))
		if err := os.WriteFile(files[len(files)-1], append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page := filepath.Join(dir, "out.html")
	got := runTool(t, "", append([]string{"bench", "report", "--html", page}, files...)...)
	text, err := os.ReadFile(page)
	if got.code != 0 || !strings.Contains(got.out.String(), "42") || err != nil || !strings.Contains(string(text), "<th>b</th>") {
		t.Errorf("exit code %d, %v: %s%s", got.code, err, got.out.String(), got.err.String())
	}
}

func TestBenchCompareFaults(t *testing.T) {
	dir := t.TempDir()
	empty, odd := filepath.Join(dir, "empty.json"), filepath.Join(dir, "odd.json")
	for file, text := range map[string]string{empty: "", odd: `{"brokers": [], "rows": [{"name": "r", "cells": [{}]}]}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"compare --broker nobody", exitUsage, `no broker "nobody"`},
		{"compare --broker none.json", exitUsage, "none.json"},
		{"compare --run p3p", exitUsage, "must begin with"},
		{"compare --run p2p=x", exitUsage, "must begin with"},
		{"compare --run p2p --suite x --repeat 0", exitUsage, "--repeat"},
		{"compare --suite x", exitUsage, "quick or full"},
		{"compare --profile x", exitUsage, "cpu, mem"},
		{"p2p --profile x", exitUsage, "cpu, mem"},
		{"p2p --broker-profile cpu", exitUsage, "--broker"},
		{"p2p --profile cpu --profile-dir /dev/null/x", exitEnvironment, "directory of the profile"},
		{"p2p --broker mosquitto --pid 1", exitUsage, "broker pid"},
		{"retained -q 0", exitUsage, "QoS 1 or 2"},
		{"report " + empty, exitUsage, "empty"},
		{"report " + odd, exitUsage, "1 columns for 0 brokers"},
		{"report", exitUsage, "arg"},
	} {
		got := runTool(t, "", append([]string{"bench"}, strings.Fields(c.args)...)...)
		if got.code != c.code || !strings.Contains(got.err.String(), c.want) {
			t.Errorf("%s: exit code %d, %q; want %d and %q", c.args, got.code, got.err.String(), c.code, c.want)
		}
	}
}
