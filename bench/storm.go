package bench

import (
	"context"
	"fmt"
	"net"
	"time"

	"tombolo/mqtt/packet"
)

// ConnectFigures are those of a storm of connections. Latency counts from
// CONNECT to CONNACK.
type ConnectFigures struct {
	Connections int     `json:"connections"`
	PerSecond   float64 `json:"connects_per_second"`
	PerCPU      float64 `json:"connects_per_cpu_second,omitempty"`
	BytesEach   float64 `json:"resident_bytes_per_connection,omitempty"`
	Broken      int     `json:"broken"` // connections that the broker ended
}

// storm opens cfg.Connections with cfg.Window handshakes going on at once, and
// keeps them until all are there. Owned by the event loop.
type storm struct {
	targets []*net.TCPAddr
	begun   int
	done    int
}

// joiner is a connection of a storm. Owned by the event loop.
type joiner struct {
	storm  *storm
	sentAt int64 // CONNECT was written
	joined bool
}

func (r *run) storm(ctx context.Context) (*Result, error) {
	s := &storm{}
	for _, t := range r.cfg.Targets {
		_, plain, _, err := splitTarget(t)
		if err != nil {
			return nil, err
		}
		address, err := net.ResolveTCPAddr("tcp", plain)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", t, err)
		}
		s.targets = append(s.targets, address)
	}
	r.begins()
	_, err := r.drive(ctx, "connecting", func() bool {
		for r.err == nil && s.begun < r.cfg.Connections && s.begun-s.done < r.cfg.Window {
			r.fault(s.begin(r))
		}
		return s.done == r.cfg.Connections
	})
	if err != nil {
		return nil, err
	}
	r.over()
	broken := r.cfg.Connections - s.done
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	after, err := readUsage(r.cfg.PIDs)
	if err != nil {
		return nil, err
	}
	res := r.result()
	measured := time.Duration(r.atEnd.at - r.atBegin.at)
	f := &ConnectFigures{Connections: s.done, PerSecond: perSecond(uint64(s.done), measured), Broken: broken}
	if len(r.cfg.PIDs) > 0 && s.done > 0 {
		f.PerCPU = perSecond(uint64(s.done), r.atEnd.broker.CPU-r.atBegin.broker.CPU)
		f.BytesEach = round(float64(after.Resident-r.atBegin.broker.Resident) / float64(s.done))
	}
	if broken > 0 {
		res.Warnings = append(res.Warnings, fmt.Sprintf("%d connections had no answer", broken))
	}
	res.Connect = f
	return res, nil
}

// begin opens one more connection; CONNECT goes out when it stands.
func (s *storm) begin(r *run) error {
	target := s.targets[s.begun%len(s.targets)]
	fd, err := dialFD(target)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", target, err)
	}
	cl := client{id: fmt.Sprintf("b%08x-c%d", r.id, s.begun)}
	e := &endpoint{key: len(r.ends), fd: fd, id: cl.id, out: connectPacket(r.cfg, &cl),
		blocked: true, role: &joiner{storm: s}}
	r.ends = append(r.ends, e)
	s.begun++
	return r.poll.addBoth(e.fd, e.key)
}

func (j *joiner) handle(r *run, e *endpoint, f packet.Frame) error {
	if f.Type != packet.TypeConnack || j.joined {
		return e.other(r, f)
	}
	var ack packet.Connack
	if err := packet.DecodeConnack(f, r.cfg.Version, &ack); err != nil {
		return err
	}
	if ack.Reason != packet.Success {
		return fmt.Errorf("the broker refused: %s", ack.Reason)
	}
	j.joined = true
	j.storm.done++
	r.progress = r.now
	r.latency.record(r.now - j.sentAt)
	r.series.record(r.now - j.sentAt)
	e.out = nil // not needed again, and there are many
	return nil
}

func (j *joiner) drained(r *run) {
	if j.sentAt == 0 {
		j.sentAt = r.clock()
	}
}
