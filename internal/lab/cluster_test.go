//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// newCluster starts a cluster without robots. Tests that use it run beside each
// other: each has a network of its own.
func newCluster(t *testing.T, nodes int, options map[string]string) *Trial {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	trial, err := NewTrial(ctx, TrialConfig{Binary: program, Dir: t.TempDir(), Nodes: nodes, Options: options,
		Publishers: 2, Subscribers: 2, Pace: 20 * time.Millisecond, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeTrial(t, trial) })
	return trial
}

func closeTrial(t *testing.T, trial *Trial) {
	t.Helper()
	if err := trial.Close(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		for i, b := range trial.Brokers {
			t.Logf("log of node %d:\n%s", i+1, lastLines(b.Log(), 40))
		}
	}
}

// within is a context for one step of a test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// must waits until nodes see something, at most as long as is promised, and as the
// machine did not run.
func must(t *testing.T, trial *Trial, since time.Time, promised time.Duration, what string, nodes []int, seen Seen) {
	t.Helper()
	took, err := trial.Await(within(t, promised+10*time.Second), since, nodes, seen)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	lost := standstill.since(since)
	for i, d := range took {
		if d > promised+lost {
			t.Errorf("%s: node %d after %v, promised are %v, and the machine did not run for %v", what, nodes[i]+1, d.Round(time.Millisecond), promised, lost)
		}
	}
	t.Logf("%s: %v; the machine did not run for %v", what, took, lost)
}

// allow sets the four flags on all nodes.
func allow(t *testing.T, trial *Trial, mode string) {
	t.Helper()
	for _, b := range trial.Brokers {
		for _, op := range []string{"register", "publish", "subscribe", "unsubscribe"} {
			if err := b.Set(within(t, 5*time.Second), "allow_"+op+"_during_netsplit", mode); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// person is a client of a test, and what ends with its connection.
type person struct {
	*client.Client
	gone <-chan struct{}
	err  error // once gone is closed
}

// visit is how a person connects. A value.
type visit struct {
	id         string
	version    packet.Version
	persistent bool
	timeout    time.Duration // for CONNACK; 10 s
	with       func(c *packet.Connect)
}

// call connects to a node.
func call(t *testing.T, trial *Trial, node int, v visit) (*person, error) {
	t.Helper()
	if v.version == 0 {
		v.version = packet.V5
	}
	if v.timeout == 0 {
		v.timeout = 10 * time.Second
	}
	cfg := client.Config{Address: trial.Brokers[node].Address(), Dial: trial.Outside().Dial, Timeout: v.timeout,
		Connect: packet.Connect{Version: v.version, ClientID: []byte(v.id), CleanStart: !v.persistent, KeepAlive: 60}}
	if v.persistent && v.version == packet.V5 {
		cfg.Connect.Properties.Set |= packet.PropSessionExpiry
		cfg.Connect.Properties.SessionExpiry = 3600
	}
	if v.with != nil {
		v.with(&cfg.Connect)
	}
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	gone := make(chan struct{})
	p := &person{Client: c, gone: gone}
	go func() {
		defer close(gone)
		p.err = c.Run(t.Context())
	}()
	t.Cleanup(c.Close)
	return p, nil
}

// admit is call where a refusal ends the test.
func admit(t *testing.T, trial *Trial, node int, v visit) *person {
	t.Helper()
	p, err := call(t, trial, node, v)
	if err != nil {
		t.Fatalf("%s at node %d: %v", v.id, node+1, err)
	}
	return p
}

// publish sends one message at QoS 1 and returns what it was answered: "ok", a
// code, "closed", or "silence" if nothing came in time.
func (p *person) publish(ctx context.Context, topic, payload string) string {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	reason, _, err := p.Publish(ctx, &packet.Publish{Topic: []byte(topic), QoS: 1, Payload: []byte(payload)})
	return said(reason, err)
}

func said(reason packet.ReasonCode, err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "silence"
	case err != nil:
		return "closed"
	case reason.Failed():
		return fmt.Sprintf("0x%02x", uint8(reason))
	}
	return "ok"
}

// subscribe asks for one filter.
func (p *person) subscribe(ctx context.Context, filter string, qos byte) string {
	codes, err := p.Subscribe(ctx, &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte(filter), QoS: qos}}})
	if err != nil || len(codes) != 1 {
		return said(0, errors.Join(err, context.Cause(ctx)))
	}
	return said(codes[0], nil)
}

// expect reads messages until all of these payloads were among them.
func (p *person) expect(t *testing.T, limit time.Duration, payloads ...string) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	missing := map[string]bool{}
	for _, s := range payloads {
		missing[s] = true
	}
	for len(missing) > 0 {
		select {
		case m, ok := <-p.Messages():
			if !ok {
				t.Errorf("the connection ended (%v); missing: %v", p.err, missing)
				return
			}
			delete(missing, string(m.Payload))
		case <-timer.C:
			t.Errorf("%d of %d messages have not arrived within %v: %v", len(missing), len(payloads), limit, missing)
			return
		}
	}
}

// refusal is how a connection was refused: "ok", a code, "closed" or "silence".
func refusal(err error) string {
	var refused *client.RefusedError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &refused):
		return fmt.Sprintf("0x%02x", uint8(refused.Reason))
	case errors.Is(err, context.DeadlineExceeded):
		return "silence"
	}
	return "closed: " + err.Error()
}
