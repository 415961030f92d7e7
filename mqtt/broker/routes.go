package broker

import "tombolo/internal/wire"

// RouteSnapshot calls fn with the routes of this node, under the lock of the
// routes, so that each Announce falls before or after it.
func (b *Broker) RouteSnapshot(fn func(list []wire.Route)) { fn(nil) }

// TakeRoutes takes a step of a peer's routes; from one goroutine per peer.
func (b *Broker) TakeRoutes(wire.NodeID, *wire.Routes) {}

// PeerReachable says that the verdict on a member has changed.
func (b *Broker) PeerReachable(wire.NodeID, bool) {}

// MembersChanged tells the durable members, this node included.
func (b *Broker) MembersChanged([]wire.NodeID) {}
