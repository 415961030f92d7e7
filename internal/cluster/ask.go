package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"tombolo/internal/link"
	"tombolo/internal/wire"
)

// The bounds of questions: how many of a peer are answered at a time, and how
// long an answer may be.
const (
	answersMax     = 16
	answerBytesMax = 4 << 20
)

// Answerer answers a request of the HTTP API, as if it had come over the admin
// socket.
type Answerer func(ctx context.Context, method, target string, body []byte) (status int, answer []byte)

// asks are the questions under way. Safe for concurrent use.
type asks struct {
	slots chan struct{} // of questions of others that are answered
	mu    struct {
		sync.Mutex
		next uint64
		open map[uint64]chan<- wire.Answer
	}
}

func newAsks() *asks {
	a := &asks{slots: make(chan struct{}, answersMax)}
	a.mu.open = map[uint64]chan<- wire.Answer{}
	return a
}

var errLinkless = errors.New("there is no link to it")

// Ask puts a request of the HTTP API to another node and waits for the answer,
// until ctx ends.
func (c *Cluster) Ask(ctx context.Context, to wire.NodeID, method, target string, body []byte) (status int, answer []byte, err error) {
	got := make(chan wire.Answer, 1)
	c.asks.mu.Lock()
	c.asks.mu.next++
	n := c.asks.mu.next
	c.asks.mu.open[n] = got
	c.asks.mu.Unlock()
	defer func() {
		c.asks.mu.Lock()
		delete(c.asks.mu.open, n)
		c.asks.mu.Unlock()
	}()
	if !c.linked(to) {
		return 0, nil, errLinkless
	}
	q := wire.AppendAsk(nil, &wire.Ask{Request: n, Method: method, Target: target, Body: body})
	if err := c.mesh.Send(to, wire.StreamControl, wire.TypeAsk, q, nil); err != nil {
		return 0, nil, err
	}
	select {
	case a := <-got:
		return int(a.Status), a.Body, nil
	case <-ctx.Done():
		return 0, nil, fmt.Errorf("node %s does not answer: %w", c.current.Load().name(to), ctx.Err())
	}
}

// takeAsk answers a question of another node, on a goroutine of its own.
func (c *Cluster) takeAsk(m *link.Message) error {
	var q wire.Ask
	if err := wire.ParseAsk(m.Body, &q); err != nil {
		return err
	}
	if c.config.Answer == nil {
		return errors.New("questions are not answered here")
	}
	q.Body = bytes.Clone(q.Body)
	from := m.From
	select {
	case c.asks.slots <- struct{}{}:
	default:
		return errors.New("too many questions at a time")
	}
	c.answering.Go(func() {
		defer func() { <-c.asks.slots }()
		status, body := c.config.Answer(c.ctx, q.Method, q.Target, q.Body)
		if len(body) > answerBytesMax {
			status, body = 500, []byte(`{"error":"the answer is too long for a link","hint":"ask that node itself, or for less"}`)
		}
		a := wire.AppendAnswer(nil, &wire.Answer{Request: q.Request, Status: uint16(status), Body: body})
		if err := c.mesh.Send(from, wire.StreamControl, wire.TypeAnswer, a, nil); err != nil {
			c.config.Log.Info("a question of another node could not be answered", "error", err)
		}
	})
	return nil
}

func (c *Cluster) takeAnswer(m *link.Message) error {
	var a wire.Answer
	if err := wire.ParseAnswer(m.Body, &a); err != nil {
		return err
	}
	c.asks.mu.Lock()
	got := c.asks.mu.open[a.Request]
	delete(c.asks.mu.open, a.Request)
	c.asks.mu.Unlock()
	if got != nil {
		a.Body = bytes.Clone(a.Body)
		got <- a
	}
	return nil
}
