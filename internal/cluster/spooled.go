package cluster

import (
	"tombolo/internal/link"
	"tombolo/internal/wire"
)

// reader is a spool that can be read without sending what is in it.
type reader interface {
	Each(to link.NodeID, fn func(m link.Spooled) bool) error
}

// Unspooled implements broker.Unspooled: nothing waits in the spool for anybody.
func (c *Cluster) Unspooled() bool {
	s, ok := c.config.Spool.(interface {
		Nodes() []link.NodeID
		Count(to link.NodeID) uint64
	})
	if !ok {
		return c.config.Spool == nil
	}
	for _, id := range s.Nodes() {
		if s.Count(id) > 0 {
			return false
		}
	}
	return true
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
