package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"tombolo/bench/peertest"
	"tombolo/mqtt/packet"
)

// TestScenarios runs a small instance of each against mosquitto and wants
// every message delivered once, in order.
func TestScenarios(t *testing.T) {
	b := peertest.Mosquitto(t)
	for _, s := range []Scenario{Latency, P2P, FanIn, FanOut} {
		for _, v := range []packet.Version{packet.V311, packet.V5} {
			for qos := range uint8(3) {
				t.Run(fmt.Sprintf("%s/%s/qos%d", s, v, qos), func(t *testing.T) {
					cfg := short(s, b.Address)
					cfg.Version, cfg.QoS, cfg.PIDs = v, qos, []int{b.PID}
					cfg.Duration, cfg.Drain = 150*time.Millisecond, 10*time.Second
					cfg.Publishers, cfg.Subscribers = min(cfg.Publishers, 5), min(cfg.Subscribers, 5)
					scenario(t, cfg)
				})
			}
		}
	}
}

func scenario(t *testing.T, cfg Config) {
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := res.Delivery
	if d.Sent == 0 || d.Received != d.Expected || d.Lost+d.Duplicated+d.Reordered+d.Refused+d.Foreign != 0 {
		t.Errorf("delivery: %+v", d)
	}
	if want := d.Sent * uint64(cfg.Subscribers); cfg.Scenario == FanOut && d.Expected != want {
		t.Errorf("expected %d deliveries, want %d", d.Expected, want)
	}
	if res.Latency.Count == 0 || res.Latency.P50 <= 0 || res.Latency.P50 > res.Latency.P99 || res.Latency.P99 > res.Latency.Max {
		t.Errorf("latency: %+v", res.Latency)
	}
	if res.Rates.Delivered <= 0 || res.Generator.Busy <= 0 || (res.Generator.Lag != nil) != (cfg.Rate > 0) {
		t.Errorf("rates %+v, generator %+v", res.Rates, res.Generator)
	}
	if res.Broker == nil || res.Broker.ResidentBytes < 1<<20 || res.Broker.PeakBytes < res.Broker.ResidentBytes/2 {
		t.Errorf("broker: %+v", res.Broker)
	}
}

// TestLargePayloads needs packets beyond the shared read buffer and writes
// that the socket takes in parts.
func TestLargePayloads(t *testing.T) {
	b := peertest.Mosquitto(t)
	cfg := short(FanOut, b.Address)
	cfg.Subscribers, cfg.PayloadSize, cfg.Window, cfg.QoS, cfg.Drain = 2, 5<<20, 2, 1, 10*time.Second
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if d := res.Delivery; d.Sent == 0 || d.Received != 2*d.Sent || d.Duplicated+d.Foreign != 0 {
		t.Errorf("delivery: %+v", d)
	}
}

func TestIdle(t *testing.T) {
	b := peertest.Mosquitto(t)
	cfg := short(Idle, b.Address)
	cfg.Connections, cfg.PIDs = 2000, []int{b.PID}
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if f := res.Idle; f.Connections != 2000 || f.Broken != 0 || f.BytesEach < 100 || f.BytesEach > 20_000 || f.ConnectsPerSecond <= 0 {
		t.Errorf("idle: %+v", f)
	}
}

// TestIdleOverTLS: as many connections over TLS as descriptors, none of which is taken
// for broken because of what TLS says by itself.
func TestIdleOverTLS(t *testing.T) {
	cert, key, roots := pair(t)
	b := peertest.Mosquitto(t, fmt.Sprintf("certfile %s\nkeyfile %s", cert, key))
	cfg := short(Idle, "mqtts://"+b.Extra[0])
	cfg.Connections, cfg.PIDs, cfg.TLS = 100, []int{b.PID}, &tls.Config{RootCAs: roots}
	goroutines := runtime.NumGoroutine()
	cfg.Tick = func(p Progress) {
		if n := runtime.NumGoroutine(); p.Phase == "idle" && n > goroutines+50 {
			t.Errorf("%d goroutines hold silent connections", n)
		}
	}
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if f := res.Idle; f.Connections != 100 || f.Broken != 0 || f.BytesEach < 1000 {
		t.Errorf("idle: %+v", f)
	}
}

// TestTwoTargets spreads publishers and subscribers over both listeners.
func TestTwoTargets(t *testing.T) {
	b := peertest.Mosquitto(t, "")
	cfg := short(P2P, b.Address)
	cfg.Targets, cfg.Cross, cfg.Publishers, cfg.Subscribers = append(cfg.Targets, b.Extra[0]), true, 4, 4
	cfg.PIDs, cfg.Drain = []int{b.PID}, 10*time.Second
	scenario(t, cfg)
}

func TestRefusedTarget(t *testing.T) {
	for _, s := range []Scenario{P2P, Idle} {
		cfg := short(s, "127.0.0.1:1")
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("%s: got %v", s, err)
		}
	}
}

func TestCancel(t *testing.T) {
	r := &relay{t: t}
	ctx, cancel := context.WithCancel(t.Context())
	cfg := short(P2P, r.listen())
	cfg.Duration = time.Hour
	cfg.Tick = func(p Progress) {
		if p.Phase == "measuring" && p.Received > 0 {
			cancel()
		}
	}
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestOwnProcess reads what this process uses.
func TestOwnProcess(t *testing.T) {
	u, err := readUsage([]int{os.Getpid(), os.Getpid()})
	if err != nil || u.Resident < 2<<20 || u.Peak < u.Resident/2 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := readUsage([]int{1 << 30}); err == nil {
		t.Error("a process that does not exist was read")
	}
}

// TestTable prints results side by side and as JSON that comes back.
func TestTable(t *testing.T) {
	cfg := Defaults(P2P)
	one := &Result{Settings: settings(&cfg), Rates: Rates{Delivered: 10}, Warnings: []string{"beware"}}
	two := &Result{Settings: settings(&cfg), Rates: Rates{Delivered: 20}}
	var out bytes.Buffer
	if err := WriteTable(&out, []*Result{one, two}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"p2p, 127.0.0.1:1883, MQTT 3.1.1, QoS 0, 128 B, 50 → 50 clients, window 20",
		"median", "10     20      15", "warning: run 1: beware"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "broker CPU") {
		t.Errorf("figures of a broker that was not measured:\n%s", out.String())
	}
	text, err := json.Marshal(one)
	var back Result
	if err != nil || json.Unmarshal(text, &back) != nil || back.Rates != one.Rates || back.Settings.Scenario != P2P {
		t.Errorf("%s %v", text, err)
	}
}
