package cluster

import (
	"tombolo/internal/link"
	"tombolo/internal/wire"
)

// reader is a spool that can be read without sending what is in it.
type reader interface {
	Each(to link.NodeID, fn func(m link.Spooled) bool) error
}

// counter is a spool that tells what is in it.
type counter interface {
	Nodes() []link.NodeID
	Count(to link.NodeID) uint64
}

// Unspooled implements broker.Unspooled: nothing waits in the spool for anybody.
func (c *Cluster) Unspooled() bool {
	if _, ok := c.config.Spool.(counter); !ok {
		return c.config.Spool == nil
	}
	return c.spooled() == 0
}

// spooled is how much waits in the spool, as far as it can be told.
func (c *Cluster) spooled() (count uint64) {
	if s, ok := c.config.Spool.(counter); ok {
		for _, id := range s.Nodes() {
			count += s.Count(id)
		}
	}
	return count
}

// Spooled implements broker.SpoolReader. A spool in memory is not read: it is
// lost with the process, and promises nothing.
func (c *Cluster) Spooled(to wire.NodeID, fn func(body []byte) bool) error {
	r, ok := c.config.Spool.(reader)
	if !ok {
		return nil
	}
	return r.Each(to, func(m link.Spooled) bool { return m.Kind != wire.TypePublish || fn(m.Body) })
}
