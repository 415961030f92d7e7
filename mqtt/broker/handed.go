package broker

import (
	"context"
	"errors"
	"fmt"

	"tombolo/internal/wire"
)

// ErrSessionGone is a part of a queue that nobody wants any more: its session has
// ended, or its client began anew with a clean start.
var ErrSessionGone = errors.New("the session has ended")

// HandOver takes in a part of a queue of a node that was a member and is none any
// more, as an operator brings it (R23): the session's present home stores it, here
// or at another node, at the place that it had, which is before all that came
// later, so that what comes twice is known (R20). The epoch is that of the session
// there, zero if it is not known. When it returns nil the messages are durable at
// the home; any other error than ErrSessionGone is worth another try. The caller
// is a worker.
func (b *Broker) HandOver(ctx context.Context, m *wire.Migration) error {
	if m.Generation == 0 || m.Final {
		return errors.New("only messages can be handed over")
	}
	for i := range m.Records {
		if m.Records[i].Flags&(wire.MigratedReceived|wire.MigratedReleased) != 0 {
			return errors.New("only messages can be handed over")
		}
		m.Records[i].Flags |= wire.MigratedDup // who knows what the client has seen there
	}
	for {
		err := b.handOver(ctx, m)
		if err == nil || errors.Is(err, ErrSessionGone) {
			return err
		}
		// A session whose home has just been removed has another in a few seconds.
		if ctx.Err() != nil || !b.pause(retryPause) {
			return err
		}
	}
}

func (b *Broker) handOver(ctx context.Context, m *wire.Migration) error {
	k := Key{m.Client.Mountpoint, m.Client.ID}
	rec, err := b.storedSession(k)
	if err != nil {
		return err
	}
	if rec == nil || !epochOf(m).IsZero() && epochOf(m).Less(rec.Floor) {
		return ErrSessionGone
	}
	t := make(ticket, 1)
	home := wire.NodeID(rec.Home)
	switch c := b.registry.get(k); {
	case uint64(home) == b.cfg.NodeID && c != nil && c.durable:
		b.takePart(c, 0, m, nil, func(res wire.Result, reason uint8) {
			ended := Stored
			if res != wire.Stored {
				ended = Refused
			}
			t.Ended(home, ended, reason)
		})
	case uint64(home) == b.cfg.NodeID:
		return errNotTaken // it has just come, or is about to end
	case b.cfg.Cluster == nil || !b.cfg.Cluster.Reachable(home):
		return fmt.Errorf("the home of the session, node %016x, is not reached", uint64(home))
	default:
		frame := *m
		frame.Epoch = wire.Epoch{HLC: rec.Epoch.HLC, Node: wire.NodeID(rec.Epoch.Node)}
		if err := b.cfg.Cluster.Send(home, wire.StreamMigration, wire.TypeMigration, wire.AppendMigration(nil, &frame), t); err != nil {
			return err
		}
	}
	select {
	case res := <-t:
		if res != Stored {
			return errNotTaken
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the home of the session does not answer: %w", ctx.Err())
	case <-b.stop:
		return errStopped
	}
}
