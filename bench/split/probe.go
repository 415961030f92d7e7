package split

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// run is one call of Run. Safe for concurrent use by its probes.
type run struct {
	cfg   *Config
	began time.Time
	over  atomic.Bool
	mu    sync.Mutex
	done  []attempt
}

func (s *run) note(a attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, a)
}

// probe tries one thing at one node again and again. One that waits for its
// answer does not hold the next one up: a client that hangs is not all clients.
func (s *run) probe(ctx context.Context, node int, p Probe) {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	standing := &standing{s: s, node: node, kind: p}
	defer standing.close()
	for n := 0; ctx.Err() == nil && !s.over.Load(); n++ {
		wg.Go(func() { s.try(ctx, standing, node, p, n) })
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (s *run) try(ctx context.Context, st *standing, node int, p Probe, n int) {
	a := attempt{node: node, probe: p, began: time.Since(s.began)}
	within, cancel := context.WithTimeout(ctx, HangAfter)
	defer cancel()
	var err error
	switch p {
	case ProbeConnect:
		err = s.connectOnce(within, node, n)
	case ProbePublish:
		a.code, err = st.publish(within)
	case ProbeSubscribe:
		a.code, err = st.subscribe(within, n)
	}
	a.took = time.Since(s.began) - a.began
	a.ok = err == nil && a.code == ""
	if a.code == "" && err != nil {
		a.code = codeOf(err)
	}
	if ctx.Err() == nil || a.ok {
		s.note(a)
	}
}

func (s *run) dial(ctx context.Context, node int, id string) (*client.Client, error) {
	return client.Dial(ctx, client.Config{Address: s.cfg.Targets[node], Timeout: HangAfter, Connect: packet.Connect{
		Version: s.cfg.Version, ClientID: []byte(id), CleanStart: true, KeepAlive: 60,
		HasUsername: s.cfg.Username != "", Username: []byte(s.cfg.Username),
		HasPassword: s.cfg.Password != "", Password: []byte(s.cfg.Password),
	}})
}

func (s *run) connectOnce(ctx context.Context, node, n int) error {
	c, err := s.dial(ctx, node, fmt.Sprintf("probe-c%d-%d", node, n))
	if err != nil {
		return err
	}
	go func() { _ = c.Run(ctx) }() // it ends with Disconnect
	c.Disconnect(packet.Success)
	return nil
}

// standing is the connection of the probes that need one. Safe for concurrent
// use. It is made again when it broke, which counts as the probe's failure.
type standing struct {
	s    *run
	node int
	kind Probe
	mu   sync.Mutex
	c    *client.Client
	gone context.Context
	stop context.CancelFunc
}

var errBroken = errors.New("the connection broke")

// get returns the connection, made anew if need be.
func (st *standing) get(ctx context.Context) (*client.Client, context.Context, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.c != nil && st.gone.Err() == nil {
		return st.c, st.gone, nil
	}
	c, err := st.s.dial(ctx, st.node, fmt.Sprintf("probe-%s%d", st.kind, st.node))
	if err != nil {
		return nil, nil, err
	}
	gone, stop := context.WithCancel(context.Background())
	st.c, st.gone, st.stop = c, gone, stop
	go func() {
		defer stop()
		_ = c.Run(gone) // the next probe finds out
	}()
	go func() {
		for range c.Messages() {
		}
	}()
	return c, gone, nil
}

func (st *standing) close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.c != nil {
		st.c.Close()
		st.stop()
	}
}

func (st *standing) publish(ctx context.Context) (code string, err error) {
	c, gone, err := st.get(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(gone, func() { cancel(errBroken) })()
	reason, _, err := c.Publish(ctx, &packet.Publish{Topic: fmt.Appendf(nil, "probe/%d", st.node), QoS: 1, Payload: []byte("probe")})
	if err == nil && reason.Failed() {
		code = fmt.Sprintf("0x%02x", uint8(reason))
	}
	return code, err
}

func (st *standing) subscribe(ctx context.Context, n int) (code string, err error) {
	c, gone, err := st.get(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(gone, func() { cancel(errBroken) })()
	filter := fmt.Appendf(nil, "probe/%d/%d", st.node, n)
	codes, err := c.Subscribe(ctx, &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: filter, QoS: 1}}})
	if err == nil && len(codes) == 1 && codes[0].Failed() {
		return fmt.Sprintf("0x%02x", uint8(codes[0])), nil
	}
	if err == nil {
		_, err = c.Unsubscribe(ctx, &packet.Unsubscribe{Filters: [][]byte{filter}})
	}
	return "", err
}
