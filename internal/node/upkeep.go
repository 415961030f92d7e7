package node

import (
	"context"
	"time"

	"tombolo/metadata"
)

// retainedSweep is how often expired retained messages are removed when
// expire_retain_cache leaves the pace to us.
const retainedSweep = 10 * time.Minute

// upkeep does what is due from time to time: it removes expired retained
// messages and reads revocation lists again, until ctx ends.
func (n *Node) upkeep(ctx context.Context) error {
	sweep := n.set.Duration("expire_retain_cache")
	if sweep <= 0 {
		sweep = retainedSweep
	}
	retained := time.NewTicker(sweep)
	defer retained.Stop()
	var revoked <-chan time.Time
	if every := n.set.Duration("crl_refresh_interval"); every > 0 && n.ports.revocable() {
		t := time.NewTicker(every)
		defer t.Stop()
		revoked = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-retained.C:
			n.sweepRetained()
		case <-revoked:
			if err := n.ports.reload(); err != nil {
				n.logger.Error("certificates could not be read again; what was read before stays in force", "error", err)
			}
		}
	}
}

// sweepRetained removes retained messages that have expired. They are not
// delivered either way; this frees their space.
func (n *Node) sweepRetained() {
	now := n.steady.Now().UnixMilli()
	type name struct{ mountpoint, topic string }
	var expired []name
	err := n.metadata.EachRetained(func(mountpoint, topic string, v *metadata.Retained) bool {
		if v.Expired(now) {
			expired = append(expired, name{mountpoint, topic})
		}
		return true
	})
	if err != nil {
		n.logger.Error("retained messages could not be swept", "error", err)
	}
	for _, e := range expired {
		n.metadata.DeleteRetainedIfExpired(e.mountpoint, e.topic, now, nil)
	}
}

// revocable reports whether some listener has a revocation list.
func (p *ports) revocable() bool {
	for _, one := range p.all() {
		if one.cfg.TLS != nil && one.cfg.TLS.CRLFile != "" {
			return true
		}
	}
	return false
}
