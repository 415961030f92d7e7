package node

import (
	"context"
	"sync/atomic"

	"tombolo/mqtt/broker"
	"tombolo/mqtt/packet"
)

// security asks the authenticators and authorizers that are configured, in
// order. Safe for concurrent use.
type security struct {
	n         *Node
	anonymous atomic.Bool
}

func newSecurity(n *Node) *security { return &security{n: n} }

func (s *security) open() error {
	s.anonymous.Store(s.n.set.Bool("allow_anonymous"))
	return nil
}

func (s *security) reload() error { return nil }

func (s *security) run(ctx context.Context) error { <-ctx.Done(); return nil }

// Authenticate implements broker.Authenticator.
func (s *security) Authenticate(context.Context, *broker.Identity, []byte) broker.Verdict {
	if s.anonymous.Load() {
		return broker.Verdict{}
	}
	return broker.Verdict{Reason: packet.NotAuthorized, Detail: "not authorized"}
}

// everything allows all requests.
type everything struct{}

func (everything) MayPublish([]byte, uint8, bool) bool { return true }
func (everything) MaySubscribe(string, uint8) bool     { return true }

// RulesFor implements broker.Authorizer.
func (s *security) RulesFor(*broker.Identity) broker.Rules { return everything{} }
