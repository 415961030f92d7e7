package node

import (
	"context"
	"errors"
	"fmt"

	"tombolo/internal/admin"
	"tombolo/internal/wire"
	"tombolo/mqtt/broker"
)

// TakeQueue implements admin.Cluster.
func (v clusterView) TakeQueue(ctx context.Context, q admin.HandedQueue) error {
	for _, x := range v.c.Status().Members {
		if fmt.Sprintf("%016x", uint64(x.ID)) == q.Node {
			return admin.Conflict("start it, and its queues follow their sessions by themselves; or remove it first, with tombolo cluster remove",
				"the node that held this queue, %s, is a member", x.Name)
		}
	}
	if len(q.Part) == 0 {
		return nil // who asks has not begun yet
	}
	var m wire.Migration
	if err := wire.ParseMigration(q.Part, &m); err != nil {
		return admin.Invalid("tombolo queue hand-over sends it", "the part of a queue is not understood: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	err := v.n.broker.HandOver(ctx, &m)
	if errors.Is(err, broker.ErrSessionGone) {
		return admin.Gone("", "the session of %q has ended", m.Client.ID)
	}
	if err != nil {
		return admin.Conflict("tombolo cluster show tells whom is reached; run the command again", "%v", err)
	}
	return nil
}
