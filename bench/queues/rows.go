package queues

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"tombolo/bench"
	"tombolo/bench/peer"
	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

const (
	mib     = 1 << 20
	budget  = 64 // MiB that the databases may take where memory is measured
	within  = 10 * time.Minute
	patient = 2 * time.Minute // for a broker that starts with many messages
	usual   = "20"            // messages on the way to a client, in both brokers unless they are told otherwise
)

const (
	publishers = 64
	window     = 4 // of each
)

// inFlight lets a client have on its way to it what all publishers have on theirs:
// with fewer it is the round trips to the client that are measured.
var inFlight = strconv.Itoa(publishers * window)

// online is one persistent subscriber that keeps up with 64 publishers, 256
// messages in flight.
func (r *row) online(d time.Duration) bench.Config {
	c := bench.Defaults(bench.FanIn)
	c.Persistent, c.QoS, c.PayloadSize = true, 1, 256
	c.Publishers, c.Window, c.Duration, c.Drain = publishers, window, d, 10*time.Second
	return c
}

// fsync is the load against the bare database, which runs before and after it.
func (r *row) fsync(ctx context.Context) error {
	part := max(r.cfg.Duration/6, time.Second)
	before, err := r.cfg.Bare(256, part)
	if err != nil {
		return err
	}
	err = r.on(ctx, r.tombolo("--max_inflight_messages", inFlight), func(b *peer.Broker) error {
		empty := used(b)
		res, err := r.load(ctx, b, "one subscriber", r.online(r.cfg.Duration))
		if err != nil {
			return err
		}
		after, err := r.cfg.Bare(256, part)
		if err != nil {
			return err
		}
		bare := (before + after) / 2
		r.add("bare database, 256 × Put(Sync)", bare, "/s", 0, true)
		r.add("delivered", res.Rates.Delivered, "/s", 0, true)
		r.add("to bare", res.Rates.Delivered/bare, "×", 0.5, true)
		r.add("p99", res.Latency.P99/1000, "ms", 15, false)
		r.add("on disk, right behind", float64(used(b)-empty)/mib, "MiB", 0, false)
		return nil
	})
	if err != nil {
		return err
	}
	return r.on(ctx, r.tombolo(), func(b *peer.Broker) error {
		res, err := r.load(ctx, b, "one subscriber, the usual in flight", r.online(part))
		if err != nil {
			return err
		}
		r.add("delivered, "+usual+" in flight to the subscriber", res.Rates.Delivered, "/s", 0, true)
		return nil
	})
}

// os is the same without syncs, and mosquitto with persistence on, in turn; each
// with as much in flight to the subscriber as publishers have, and as it is by
// itself. The better of mosquitto's two is what is asked.
func (r *row) os(ctx context.Context) error {
	const rounds = 3
	part := r.cfg.Duration / rounds
	theirs := peer.Persistent()
	wide := theirs
	wide.Files = map[string]string{"mosquitto.conf": theirs.Files["mosquitto.conf"] + "max_inflight_messages " + inFlight + "\n"}
	var cpu, wall [4]float64
	for i := range rounds * len(cpu) {
		at := i % len(cpu)
		d := [...]peer.Definition{
			r.tombolo("--durability", "os", "--max_inflight_messages", inFlight), wide, r.tombolo("--durability", "os"), theirs,
		}[at]
		err := r.on(ctx, d, func(b *peer.Broker) error {
			res, err := r.load(ctx, b, d.Name, r.online(part))
			if err != nil {
				return err
			}
			cpu[at] += res.Broker.DeliveriesPerCPU / rounds
			wall[at] += res.Rates.Delivered / rounds
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.add("delivered", wall[0], "/s", 100_000, true)
	r.add("delivered", cpu[0], "/CPU s", max(cpu[1], cpu[3]), true)
	r.add("mosquitto, persistence on", cpu[1], "/CPU s", 0, true)
	r.add("mosquitto, persistence on", wall[1], "/s", 0, true)
	const few = ", " + usual + " in flight to the subscriber"
	r.add("delivered"+few, wall[2], "/s", 0, true)
	r.add("delivered"+few, cpu[2], "/CPU s", 0, true)
	r.add("mosquitto"+few, cpu[3], "/CPU s", 0, true)
	r.add("mosquitto"+few, wall[3], "/s", 0, true)
	return nil
}

// offline stores for a thousand sessions, which then return at once.
func (r *row) offline(ctx context.Context) error {
	return r.on(ctx, r.tombolo("--leveldb.maximum_memory", strconv.Itoa(budget)+"MB"), func(b *peer.Broker) error {
		c := bench.Defaults(bench.Offline)
		c.Subscribers, c.Messages, c.PayloadSize, c.Publishers, c.Window = 1000, r.scaled(1_000_000)/1000, 100, 8, 1000
		res, err := r.load(ctx, b, "a thousand sessions", c)
		if err != nil {
			return err
		}
		s := res.Stored
		r.add("stored", s.PerSecond, "/s", 100_000, true)
		r.add("replayed", res.Rates.Delivered, "/s", 150_000, true)
		r.add(fmt.Sprintf("memory grew, databases %d of it", budget), float64(s.ResidentAfter-s.ResidentBefore)/mib, "MiB", 100+budget, false)
		return nil
	})
}

// migrate has one session return at another node.
func (r *row) migrate(ctx context.Context) error {
	d := peer.TomboloCluster(r.cfg.Program, r.cfg.Version, false)
	d.Command = append(d.Command, "--max_offline_messages", "-1", "--max_online_messages", "-1")
	return r.on(ctx, d, func(b *peer.Broker) error {
		c := bench.Defaults(bench.Migrate)
		c.Subscribers, c.Messages, c.PayloadSize, c.Publishers, c.Window = 1, r.scaled(100_000), 100, 8, 1000
		res, err := r.load(ctx, b, "a backlog", c)
		if err != nil {
			return err
		}
		r.add("CONNACK", 1000*res.Stored.ReturnedIn, "ms", 100, false)
		r.add("first message", res.Latency.Min/1000, "ms", 200, false)
		r.add("all", res.Stored.GivenIn, "s", 5, false)
		return nil
	})
}

// disk delivers many messages and waits until their space has come back.
func (r *row) disk(ctx context.Context) error {
	return r.on(ctx, r.tombolo("--max_inflight_messages", inFlight), func(b *peer.Broker) error {
		empty, want, began := used(b), r.scaled(20_000_000), time.Now()
		got, most := 0, int64(0)
		for got < want {
			res, err := r.load(ctx, b, fmt.Sprintf("%d of %d", got, want), r.online(r.cfg.Duration/4))
			if err != nil {
				return err
			}
			got += int(res.Delivery.Received)
			most = max(most, used(b))
		}
		r.add("delivered", float64(got), "messages", float64(want), true)
		r.add("in", time.Since(began).Seconds(), "s", 0, false)
		r.add("on disk, at most", float64(most-empty)/mib, "MiB", 0, false)
		began = time.Now()
		for used(b)-empty > 256*mib && time.Since(began) < within {
			wait(ctx, time.Second)
		}
		r.add("on disk", float64(used(b)-empty)/mib, "MiB", 256, false)
		r.add("after", time.Since(began).Seconds(), "s", within.Seconds(), false)
		began = time.Now()
		if err := b.Restart(syscall.SIGTERM); err != nil {
			return err
		}
		r.add("ends after SIGTERM", time.Since(began).Seconds(), "s", 5, false)
		return nil
	})
}

// boot stores many messages and starts the broker again, after a stop and after a
// kill, until a client has one of its own.
func (r *row) boot(ctx context.Context) error {
	return r.on(ctx, r.tombolo(), func(b *peer.Broker) error {
		c := bench.Defaults(bench.Offline)
		c.Subscribers, c.Messages, c.PayloadSize, c.Publishers, c.Window, c.Keep = 1000, r.scaled(10_000_000)/1000, 100, 8, 1000, true
		res, err := r.load(ctx, b, "storing", c)
		if err != nil {
			return err
		}
		r.add("stored", float64(res.Stored.Messages), "messages", float64(r.scaled(10_000_000)/1000*1000), true)
		r.add("at", res.Stored.PerSecond, "/s", 0, true)
		for i, s := range []struct {
			how    string
			signal syscall.Signal
		}{{"stop", syscall.SIGTERM}, {"kill -9", syscall.SIGKILL}} {
			if err := b.Restart(s.signal); err != nil {
				return err
			}
			began := time.Now()
			if err := served(ctx, b, fmt.Sprintf("b%s-s%d", res.Settings.Run, i)); err != nil {
				return fmt.Errorf("after %s: %w", s.how, err)
			}
			r.add("first client served after "+s.how, time.Since(began).Seconds(), "s", 20, false)
			r.add("memory", float64(bench.PeakMemory(b.PIDs()))/mib, "MiB", 500, false)
		}
		return nil
	})
}

// served connects as a session that has messages until one of them comes.
func served(ctx context.Context, b *peer.Broker, id string) error {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	for {
		c, err := client.Dial(ctx, client.Config{Address: b.Address, Connect: packet.Connect{Version: packet.V311, ClientID: []byte(id), KeepAlive: 60}})
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			wait(ctx, 20*time.Millisecond)
			continue
		}
		defer c.Close()
		if !c.Connack().SessionPresent {
			return fmt.Errorf("session %s is forgotten", id)
		}
		go func() { _ = c.Run(ctx) }() // what ends it shows below
		select {
		case m := <-c.Messages():
			if m == nil {
				return fmt.Errorf("the connection of %s ended", id)
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// used is what the broker's data take on disk, as du counts it.
func used(b *peer.Broker) (sum int64) {
	_ = filepath.WalkDir(filepath.Join(b.Dir(), "data"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // a table was removed meanwhile
		}
		if info, err := e.Info(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += s.Blocks * 512
			}
		}
		return nil
	})
	return sum
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
