package broker

import (
	"errors"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// errNotBuilt answers what this version cannot do yet.
var errNotBuilt = errors.New("broker: moving sessions between nodes is not built yet")

// TakeFence takes a fence of a peer (R21).
func (b *Broker) TakeFence(wire.NodeID, *wire.Fence) {}

// TakeMigration takes a part of a session's queue from its old home (R22).
func (b *Broker) TakeMigration(_ wire.NodeID, _ wire.Incarnation, _ uint64, _ *wire.Migration, done func(wire.Result, uint8)) {
	done(wire.Refused, 0)
}

// homeApplied is called after the index has taken in the record of a session;
// nil is none. was is the other node that the index had it at, 0 for none.
func (b *Broker) homeApplied(_ Key, _ *metadata.Session, _ wire.NodeID) {}

// takesFrom reports whether c is to get what came from a node, 0 being this
// one: while a session moves, its old and its new home share that out (R21).
func (b *Broker) takesFrom(*client, wire.NodeID) bool { return true }

// Release closes a client here because its id was granted to another node.
func (b *Broker) Release(_ Key, _ metadata.Epoch, _ wire.NodeID, done func(old metadata.Epoch, existed bool, err error)) {
	done(metadata.Epoch{}, false, errNotBuilt)
}

// EachConnected calls fn for every client that is connected here.
func (b *Broker) EachConnected(func(c wire.Connected) bool) {}
