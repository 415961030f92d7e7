package broker

import "tombolo/internal/wire"

// TakePublish takes a publish at QoS 1 or 2 from a peer. done is called once
// it has ended here. It may block.
func (b *Broker) TakePublish(_ wire.NodeID, _ wire.Incarnation, _ uint64, _ *wire.Publish, done func(wire.Result, uint8)) {
	done(wire.Refused, 0)
}

// TakeFast takes a publish at QoS 0 from a peer; it does not block.
func (b *Broker) TakeFast(wire.NodeID, *wire.Publish) {}

// TakeCancel drops messages that went to another member of their group (R13).
func (b *Broker) TakeCancel(wire.NodeID, *wire.Cancel) {}
