package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// refusal is why a join will not come to anything, for the operator.
type refusal string

// Error is the sentence.
func (r refusal) Error() string { return string(r) }

// watchRefusals ends a join as soon as it is known that nobody will take this
// node. It returns with ctx.
func (s *Set) watchRefusals(ctx context.Context, giveUp context.CancelCauseFunc) {
	if s.config.Refused == nil {
		return
	}
	tick := time.NewTicker(s.config.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if why := s.config.Refused(); why != "" {
				giveUp(refusal(why))
				return
			}
		}
	}
}

// contactOne reaches one of the seeds by gossip, or says of each why not. They
// are asked at once, so that one that is down does not keep the others waiting.
func (s *Set) contactOne(seeds []string) error {
	type answer struct {
		seed string
		err  error
	}
	answers := make(chan answer, len(seeds))
	for _, seed := range seeds {
		go func() { answers <- answer{seed, s.gossip.contact(0, seed)} }()
	}
	var errs []error
	for range seeds {
		a := <-answers
		if a.err == nil {
			return nil
		}
		errs = append(errs, s.explain(a.seed, a.err))
	}
	return fmt.Errorf("member: no seed takes this node: %w", errors.Join(errs...))
}

// explain turns what memberlist says of a seed into what an operator can do about
// it. memberlist hangs up on another label without a word, and answers what it
// cannot decrypt with a sentence that we cannot decrypt either.
func (s *Set) explain(seed string, err error) error {
	text := err.Error()
	has := func(list ...string) bool {
		for _, x := range list {
			if strings.Contains(text, x) {
				return true
			}
		}
		return false
	}
	switch name := s.config.Cluster; {
	case has("not encrypted"):
		return fmt.Errorf("what listens at %s does not encrypt: it is no port for gossip between nodes (cluster.gossip_port), such as one for HTTP, or its node has no cluster.secret_key and this one has: give both the same", seed)
	case has("decrypt", "encrypt"):
		return fmt.Errorf("%s has another cluster.secret_key than this node, or only one of the two has one: give both the same", seed)
	case has("EOF", "reset by peer", "broken pipe"):
		return fmt.Errorf("%s hangs up: its cluster.name is not %q, which is this node's, or something else listens there; cluster.name, and then cluster.secret_key, have to be the same", seed, name)
	case has("refused"):
		return fmt.Errorf("nothing listens at %s: start the node there, or look up its cluster.bind_address and cluster.gossip_port", seed)
	case has("no such host"):
		host, _, _ := net.SplitHostPort(seed)
		return fmt.Errorf("the name %s is not known: %w", host, err)
	case has("timeout", "no route", "unreachable"):
		return fmt.Errorf("%s does not answer: see whether the node runs, and whether a firewall lets TCP and UDP to that port through", seed)
	}
	return fmt.Errorf("%s: %w", seed, err)
}
