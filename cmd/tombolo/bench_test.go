package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"tombolo/bench"
	"tombolo/bench/peertest"
)

// TestBenchCommand runs each scenario for a moment and reads its JSON.
func TestBenchCommand(t *testing.T) {
	b := peertest.Mosquitto(t)
	common := []string{"--target", b.Address, "--pid", strconv.Itoa(b.PID), "--duration", "100ms", "--warm-up", "20ms"}
	for _, args := range []string{
		"latency --pairs 2 --drain 10s",
		"p2p --pairs 3 -q 1 -V 5 --drain 10s",
		"fanin --publishers 3 --payload 1000 --drain 10s",
		"fanout --subscribers 3 --window 2 --repeat 2 --drain 10s",
		"idle --connections 20",
	} {
		fields := append([]string{"bench"}, strings.Fields(args)...)
		got := runTool(t, "", append(append(fields, "--json"), common...)...)
		if got.code != 0 {
			t.Errorf("%s: exit code %d: %s", args, got.code, got.err.String())
			continue
		}
		lines := strings.Split(strings.TrimSpace(got.out.String()), "\n")
		if want := 1 + strings.Count(args, "--repeat 2"); len(lines) != want {
			t.Errorf("%s: %d results, want %d", args, len(lines), want)
		}
		for _, line := range lines {
			var r bench.Result
			if err := json.Unmarshal([]byte(line), &r); err != nil || string(r.Settings.Scenario) != fields[1] {
				t.Errorf("%s: %v in %s", args, err, line)
			}
			if r.Idle == nil && (r.Delivery.Received == 0 || r.Delivery.Received != r.Delivery.Expected || r.Broker == nil) {
				t.Errorf("%s: %s", args, line)
			}
		}
	}
	if got := runTool(t, "", append([]string{"bench", "p2p", "--pairs", "2"}, common...)...); got.code != 0 ||
		!strings.Contains(got.out.String(), "broker CPU µs /delivery") {
		t.Errorf("table: exit code %d, %s%s", got.code, got.out.String(), got.err.String())
	}
}

func TestBenchFaults(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"bench p2p --target 127.0.0.1:1", exitUnreachable, "tombolo dev"},
		{"bench p2p --pairs 0", exitUsage, "--pairs"},
		{"bench p2p --payload 5", exitUsage, "payload of 5 bytes"},
		{"bench p2p -V 31", exitUsage, "mqttv311 and mqttv5"},
		{"bench latency --rate 0", exitUsage, "needs a rate"},
		{"bench idle --connections 0", exitUsage, "0 connections"},
		{"bench idle --pid 1073741824", exitUsage, "--pid"},
		{"bench p2p --repeat 0", exitUsage, "--repeat"},
	} {
		got := runTool(t, "", strings.Fields(c.args)...)
		if got.code != c.code || !strings.Contains(got.err.String(), c.want) {
			t.Errorf("%s: exit code %d, %q; want %d and %q", c.args, got.code, got.err.String(), c.code, c.want)
		}
	}
}
