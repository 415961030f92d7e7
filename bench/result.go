package bench

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Result is what one run showed. Rates and processor figures are of the
// measured interval, Delivery of the whole run.
type Result struct {
	Settings Settings     `json:"settings"`
	Machine  Machine      `json:"machine"`
	Seconds  float64      `json:"measured_seconds"`
	Delivery Delivery     `json:"delivery"`
	Rates    Rates        `json:"rates"`
	Latency  Distribution `json:"latency"`
	// Written is the latency from when messages were written, not due: without the
	// generator's own lag, but for what the broker kept waiting.
	Written   *Distribution `json:"latency_since_written,omitempty"`
	Broker    *Broker       `json:"broker,omitempty"` // without --pid nothing is known
	Generator Generator     `json:"generator"`
	// What a scenario measures beside these.
	Idle      *IdleFigures      `json:"idle,omitempty"`
	Connect   *ConnectFigures   `json:"connect,omitempty"`
	Subscribe *SubscribeFigures `json:"subscribe,omitempty"`
	Share     *ShareFigures     `json:"share,omitempty"`
	Stored    *StoredFigures    `json:"stored,omitempty"`
	// Series and Curve are for plots.
	Series []Sample `json:"series,omitempty"`
	Curve  []Point  `json:"latency_by_percentile,omitempty"`
	// Warnings say why the figures may mean less than they seem to.
	Warnings []string `json:"warnings,omitempty"`
}

// Settings are those of the run, so that it can be repeated.
type Settings struct {
	Scenario    Scenario `json:"scenario"`
	Broker      string   `json:"broker,omitempty"` // that the bench started
	Targets     []string `json:"targets"`
	Cross       bool     `json:"cross_node"`
	Persistent  bool     `json:"persistent,omitempty"`
	Version     string   `json:"mqtt_version"`
	QoS         uint8    `json:"qos"`
	PayloadSize int      `json:"payload_bytes"`
	Publishers  int      `json:"publishers"`
	Subscribers int      `json:"subscribers"`
	Connections int      `json:"connections,omitempty"`
	Filters     int      `json:"filters,omitempty"`
	Wildcards   int      `json:"wildcards_of_100,omitempty"`
	Messages    int      `json:"messages,omitempty"`
	Window      int      `json:"window,omitempty"`
	Rate        float64  `json:"rate_per_second,omitempty"`
	WarmUp      float64  `json:"warm_up_seconds"`
	Duration    float64  `json:"duration_seconds"`
	Run         string   `json:"run,omitempty"` // random, names topics and client ids
}

// Machine is where the generator ran.
type Machine struct {
	Time     time.Time `json:"time"`
	Host     string    `json:"host"`
	CPUs     int       `json:"cpus"`
	System   string    `json:"system"`
	Go       string    `json:"go"`
	Revision string    `json:"revision,omitempty"`
	Load     string    `json:"load,omitempty"` // averages of 1, 5 and 15 minutes
}

// Delivery accounts for every message.
type Delivery struct {
	Sent       uint64 `json:"sent"`
	Expected   uint64 `json:"expected"` // sent times its subscribers
	Received   uint64 `json:"received"` // once each
	Lost       uint64 `json:"lost"`
	Duplicated uint64 `json:"duplicated"`
	Reordered  uint64 `json:"reordered"`
	Refused    uint64 `json:"refused"` // by a reason code of the broker
	Unsent     uint64 `json:"unsent"`  // due at the fixed rate but never taken by the connection
	Foreign    uint64 `json:"foreign"` // came and is not of this run
	Stalls     uint64 `json:"stalls"`  // windows given up after a second of silence
}

// Rates are of the measured interval.
type Rates struct {
	Published float64 `json:"published_per_second"`
	Delivered float64 `json:"delivered_per_second"`
}

// Broker is what the processes given used in the measured interval.
type Broker struct {
	PIDs              []int   `json:"pids"`
	CPUSeconds        float64 `json:"cpu_seconds"`
	CPUPercent        float64 `json:"cpu_percent"`
	DeliveriesPerCPU  float64 `json:"deliveries_per_cpu_second"`
	MicrosPerDelivery float64 `json:"cpu_us_per_delivery"`
	ResidentBytes     int64   `json:"resident_bytes"`
	PeakBytes         int64   `json:"peak_resident_bytes"` // since the process started
}

// Generator is the health of the load generator itself.
type Generator struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	Busy       float64 `json:"busy"` // of one processor: the event loop cannot use more
	// Lag is how late messages were sent at a fixed rate.
	Lag *Distribution `json:"lag,omitempty"`
}

const (
	busyMax = 0.85 // beyond it the generator may be the limit
	ticks   = 50   // fewer clock ticks of the broker than this are too coarse
)

func (r *run) result() *Result {
	measured := time.Duration(r.atEnd.at - r.atBegin.at)
	sent := r.atEnd.tally.sent - r.atBegin.tally.sent
	received := r.atEnd.tally.received - r.atBegin.tally.received
	t := r.total
	res := &Result{
		Settings: settings(r.cfg), Machine: ThisMachine(), Seconds: measured.Seconds(),
		Delivery: Delivery{Sent: t.sent, Expected: r.expected(), Received: t.received,
			Lost: r.expected() - t.received, Duplicated: t.duplicated, Reordered: t.reordered,
			Refused: t.refused, Unsent: t.unsent, Foreign: t.foreign, Stalls: t.stalls},
		Rates:   Rates{perSecond(sent, measured), perSecond(received, measured)},
		Latency: r.latency.distribution(),
		Series:  r.series.samples, Curve: r.latency.curve(),
	}
	res.Settings.Run = fmt.Sprintf("%08x", r.id)
	own := r.atEnd.generator - r.atBegin.generator
	res.Generator = Generator{CPUSeconds: own.Seconds(), Busy: round(own.Seconds() / measured.Seconds())}
	if r.cfg.Rate > 0 {
		lag := r.lag.distribution()
		res.Generator.Lag = &lag
		written := r.written.distribution()
		res.Written = &written
	}
	if len(r.cfg.PIDs) > 0 {
		res.Broker = brokerOf(r.cfg.PIDs, r.atBegin.broker, r.atEnd.broker, measured, received)
	}
	res.warn()
	return res
}

func brokerOf(pids []int, begin, end usage, measured time.Duration, deliveries uint64) *Broker {
	cpu := end.CPU - begin.CPU
	b := &Broker{PIDs: pids, CPUSeconds: cpu.Seconds(), CPUPercent: round(100 * cpu.Seconds() / measured.Seconds()),
		DeliveriesPerCPU: perSecond(deliveries, cpu), ResidentBytes: end.Resident, PeakBytes: end.Peak}
	if deliveries > 0 {
		b.MicrosPerDelivery = round(float64(cpu.Microseconds()) / float64(deliveries))
	}
	return b
}

// warn says what takes meaning from the figures.
func (res *Result) warn() {
	warn := func(when bool, format string, args ...any) {
		if when {
			res.Warnings = append(res.Warnings, fmt.Sprintf(format, args...))
		}
	}
	d := &res.Delivery
	warn(d.Lost > 0, "%d deliveries were lost", d.Lost)
	warn(d.Duplicated > 0, "%d messages came again", d.Duplicated)
	warn(d.Reordered > 0, "%d messages came out of order", d.Reordered)
	warn(d.Refused > 0, "the broker refused %d messages", d.Refused)
	warn(d.Unsent > 0, "the broker did not take %d messages in time for the rate", d.Unsent)
	warn(d.Foreign > 0, "%d messages came that this run did not send", d.Foreign)
	warn(d.Stalls > 0, "a publisher waited a second in vain %d times", d.Stalls)
	warn(d.Received == 0 && res.Settings.Scenario != Connect, "nothing was received")
	warn(res.Generator.Busy > busyMax,
		"the generator used %.0f %% of a processor: it may have been the limit, not the broker", 100*res.Generator.Busy)
	if lag := res.Generator.Lag; lag != nil {
		warn(lag.P99 > 1e3 && lag.P99 > res.Latency.P99/4,
			"the generator sent late (p99 %.0f µs): the machine was too busy for this rate", lag.P99)
	}
	if b := res.Broker; b != nil {
		warn(coarse() && b.CPUSeconds < ticks*clockTick.Seconds(),
			"the broker used %.2f CPU seconds, counted in steps of 0.01: run longer for exact figures", b.CPUSeconds)
	}
}

func settings(c *Config) Settings {
	s := Settings{Scenario: c.Scenario, Targets: c.Targets, Cross: c.Cross, Persistent: c.Persistent, Version: c.Version.String(), QoS: c.QoS,
		PayloadSize: c.PayloadSize, Publishers: c.Publishers, Subscribers: c.Subscribers, Connections: c.Connections,
		Rate: c.Rate, WarmUp: c.WarmUp.Seconds(), Duration: c.Duration.Seconds()}
	switch c.Scenario {
	case Subscribe, Match:
		s.Filters, s.Wildcards = c.Filters, c.Wildcards
	case Retained, Offline, Migrate:
		s.Messages = c.Messages
	}
	if c.Rate == 0 && c.Scenario != Idle {
		s.Window = c.Window
	}
	return s
}

// ThisMachine is where the generator runs, and how busy it is now.
func ThisMachine() Machine {
	m := Machine{Time: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	m.Host, _ = os.Hostname() // a name for people; empty will do
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += " " + strings.TrimSpace(string(release))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := strings.Fields(string(load)); len(f) > 3 {
			m.Load = strings.Join(f[:3], " ")
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				m.Revision = s.Value
			}
		}
	}
	return m
}
