package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// IdleFigures are those of connections that do nothing.
type IdleFigures struct {
	Connections       int     `json:"connections"`
	ConnectsPerSecond float64 `json:"connects_per_second"`
	ConnectsPerCPU    float64 `json:"connects_per_cpu_second,omitempty"`
	BytesEach         float64 `json:"resident_bytes_per_connection,omitempty"`
	CPUPercent        float64 `json:"idle_cpu_percent"`
	ResidentBefore    int64   `json:"resident_bytes_before"`
	ResidentAfter     int64   `json:"resident_bytes_after"`
	Broken            int     `json:"broken"` // connections that the broker ended
}

// runIdle opens the connections, holds them for WarmUp and Duration, and
// compares the broker's resident memory before and after.
func runIdle(ctx context.Context, cfg *Config) (*Result, error) {
	before, err := readUsage(cfg.PIDs)
	if err != nil {
		return nil, err
	}
	id := rand.Uint32()
	clients := make([]client, cfg.Connections)
	for i := range clients {
		clients[i] = client{target: cfg.Targets[i%len(cfg.Targets)], id: fmt.Sprintf("b%08x-i%d", id, i)}
	}
	start, own := time.Now(), ownCPU()
	sessions, err := connectAll(ctx, cfg, clients, func(done int) {
		if done%64 == 0 {
			cfg.Tick(Progress{Phase: "connecting", Elapsed: time.Since(start), Clients: done})
		}
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range sessions {
			closeFD(s.fd)
		}
	}()
	connecting := time.Since(start)
	connected, err := readUsage(cfg.PIDs)
	if err != nil {
		return nil, err
	}
	if err := hold(ctx, cfg, start, "settling", cfg.WarmUp); err != nil {
		return nil, err
	}
	settled, err := readUsage(cfg.PIDs)
	if err != nil {
		return nil, err
	}
	if err := hold(ctx, cfg, start, "idle", cfg.Duration); err != nil {
		return nil, err
	}
	after, err := readUsage(cfg.PIDs)
	if err != nil {
		return nil, err
	}
	n := len(sessions)
	f := &IdleFigures{
		Connections: n, ConnectsPerSecond: perSecond(uint64(n), connecting), Broken: broken(sessions),
		ResidentBefore: before.Resident, ResidentAfter: after.Resident,
	}
	res := &Result{Settings: settings(cfg), Machine: ThisMachine(), Seconds: cfg.Duration.Seconds(), Idle: f}
	spent := ownCPU() - own
	res.Generator = Generator{CPUSeconds: spent.Seconds(), Busy: round(spent.Seconds() / time.Since(start).Seconds())}
	if len(cfg.PIDs) > 0 {
		f.ConnectsPerCPU = perSecond(uint64(n), connected.CPU-before.CPU)
		f.BytesEach = round(float64(after.Resident-before.Resident) / float64(n))
		f.CPUPercent = round(100 * (after.CPU - settled.CPU).Seconds() / cfg.Duration.Seconds())
	} else {
		res.Warnings = append(res.Warnings, "without the broker's process (--pid) its memory is not known")
	}
	if f.Broken > 0 {
		res.Warnings = append(res.Warnings, fmt.Sprintf("the broker ended %d of the connections", f.Broken))
	}
	return res, nil
}

// hold waits with a view of the time.
func hold(ctx context.Context, cfg *Config, start time.Time, phase string, d time.Duration) error {
	over := time.NewTimer(d)
	defer over.Stop()
	tick := time.NewTicker(time.Duration(tickEvery))
	defer tick.Stop()
	for {
		select {
		case <-over.C:
			return nil
		case <-tick.C:
			cfg.Tick(Progress{Phase: phase, Elapsed: time.Since(start), Clients: cfg.Connections})
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// broken counts connections that are at their end: an idle client has nothing
// to read.
func broken(sessions []session) int {
	n := 0
	var buf [64]byte
	for _, s := range sessions {
		if _, again, _ := readFD(s.fd, buf[:]); !again {
			n++
		}
	}
	return n
}
