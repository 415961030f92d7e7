package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// dialled is a client of a node, as soon as the node admits clients. Without an
// expiry its session ends with the connection.
func dialled(tb testing.TB, address, id string, expiry uint32) *client.Client {
	tb.Helper()
	connect := packet.Connect{Version: packet.V5, ClientID: []byte(id), CleanStart: true}
	if expiry > 0 {
		connect.Properties.Set |= packet.PropSessionExpiry
		connect.Properties.SessionExpiry = expiry
	}
	var c *client.Client
	eventually(tb, patience, "a connection to "+address, func() (ok bool) {
		var err error
		c, err = client.Dial(tb.Context(), client.Config{Address: address, Connect: connect, Timeout: patience})
		return err == nil
	})
	ctx, end := context.WithCancel(tb.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = c.Run(ctx) // what it misses shows
	}()
	tb.Cleanup(func() {
		end()
		<-over
	})
	return c
}

// TestR6SubackThenPublish: what is published at another node once a subscriber has
// its SUBACK reaches it, from the moment on in which the nodes of a new cluster
// admit clients, whether the session outlives its connection or not, and whether
// or not others want the same filter.
func TestR6SubackThenPublish(t *testing.T) {
	c := newTrio(t, true, "allow_register_during_netsplit", "on", "allow_publish_during_netsplit", "on", "allow_subscribe_during_netsplit", "on")
	const rounds = 40
	var publishers []*client.Client
	for i, n := range c.nodes {
		publishers = append(publishers, dialled(t, n.tcp, fmt.Sprintf("publisher%d", i), 0))
	}
	for round := range rounds {
		at := round % len(c.nodes)
		filters := []string{fmt.Sprintf("new/%d/#", round), "shared/by/all", fmt.Sprintf("new/%d/+", round)}
		sub := dialled(t, c.nodes[at].tcp, fmt.Sprintf("subscriber%d", round), uint32(round%2*60))
		topics := []string{fmt.Sprintf("new/%d/x", round), "shared/by/all", fmt.Sprintf("new/%d/y", round)}
		for i, filter := range filters {
			codes, err := sub.Subscribe(t.Context(), &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte(filter), QoS: 1}}})
			if err != nil || codes[0].Failed() {
				t.Fatalf("round %d: SUBACK %v, %v", round, codes, err)
			}
			want := map[string]bool{}
			for from, p := range publishers {
				if from == at {
					continue
				}
				text := fmt.Sprintf("%d-%d-%d", round, i, from)
				reason, _, err := p.Publish(t.Context(), &packet.Publish{Topic: []byte(topics[i]), QoS: 1, Payload: []byte(text)})
				if err != nil || reason.Failed() {
					t.Fatalf("round %d: PUBACK %v, %v", round, reason, err)
				}
				want[text] = true
			}
			for len(want) > 0 {
				select {
				case m := <-sub.Messages():
					delete(want, string(m.Payload))
				case <-time.After(patience):
					t.Fatalf("round %d: %v published after the SUBACK of %s at node %d did not arrive", round, want, filter, at+1)
				}
			}
		}
		sub.Close()
	}
}
