package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// Way makes connections, as Host.Dial does.
type Way func(ctx context.Context, network, address string) (net.Conn, error)

// Robot is a client that keeps at it: when a connection ends or is refused it
// tries again, at another broker if it has been told to. Its fields but those
// that are atomic are set before Run and not changed after.
type Robot struct {
	Name    string
	Version packet.Version
	QoS     byte
	Topic   string // of a publisher; the filter of a subscriber
	Dial    Way
	History *History
	Pause   time.Duration // between two messages of a publisher, and two attempts to connect
	Resumes bool          // a subscriber whose session has its subscription from before
	Size    int           // of a publisher's payloads, which are filled with spaces up to it
	Within  time.Duration // how long an answer is waited for before the connection is given up; 20 s

	brokers atomic.Pointer[[]string]
	moves   atomic.Uint64
	mu      sync.Mutex
	cut     context.CancelFunc // ends the connection in use

	// Owned by Publish and Subscribe.
	connections int
	place       string // the broker of the last one
}

// UseBrokers tells the addresses to try in turn. The connection in use goes on
// until Move or a fault.
func (r *Robot) UseBrokers(list ...string) { r.brokers.Store(&list) }

// Move makes the robot drop its connection, without DISCONNECT, and go to the
// next broker of its list.
func (r *Robot) Move() {
	r.moves.Add(1)
	r.drop()
}

// Drop makes it connect anew to the same broker.
func (r *Robot) Drop() { r.drop() }

func (r *Robot) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut != nil {
		r.cut()
	}
}

// broker is the address to use now.
func (r *Robot) broker() string {
	list := *r.brokers.Load()
	return list[r.moves.Load()%uint64(len(list))]
}

func (r *Robot) within() time.Duration {
	if r.Within > 0 {
		return r.Within
	}
	return 20 * time.Second
}

// sessionLasts is the expiry of a subscriber's session: longer than any two wall
// clocks are apart (clockSteps), since a moment that one node has stored is read by
// the clock of another (docs/guarantees.md, "When a clock is set").
const sessionLasts = 48 * time.Hour

// connect opens one session and starts its reader; the context that comes back
// ends with the connection.
func (r *Robot) connect(ctx context.Context, clean bool) (*client.Client, context.Context, error) {
	began := time.Now()
	cfg := client.Config{Address: r.broker(), Dial: r.Dial, Timeout: r.within(), Connect: packet.Connect{
		Version: r.Version, ClientID: []byte(r.Name), CleanStart: clean, KeepAlive: 60,
	}}
	if !clean && r.Version == packet.V5 {
		cfg.Connect.Properties.Set |= packet.PropSessionExpiry
		cfg.Connect.Properties.SessionExpiry = uint32(sessionLasts / time.Second)
	}
	c, err := client.Dial(ctx, cfg)
	r.History.Answered("connect "+outcome(err), time.Since(began))
	if err != nil {
		return nil, nil, err
	}
	r.connections++
	r.place = cfg.Address
	r.History.Connected(r.Name, r.place, c.Connack().SessionPresent)
	session, cut := context.WithCancel(ctx)
	r.mu.Lock()
	r.cut = cut
	r.mu.Unlock()
	context.AfterFunc(session, c.Close)
	go func() {
		defer cut()
		_ = c.Run(session) // the robot tries again, whatever it was
	}()
	return c, session, nil
}

// outcome names how an attempt ended, without what varies.
func outcome(err error) string {
	var refused *client.RefusedError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &refused):
		return fmt.Sprintf("refused 0x%02x", uint8(refused.Reason))
	}
	return "failed"
}

// Publish sends numbered messages, one after the other, until ctx ends. A
// message that was not acknowledged is sent again, under the same number, until
// it is.
func (r *Robot) Publish(ctx context.Context) {
	number := 1
	for ctx.Err() == nil {
		c, session, err := r.connect(ctx, true)
		if err != nil {
			r.moves.Add(1)
			pause(ctx, max(r.Pause, 50*time.Millisecond))
			continue
		}
		for session.Err() == nil && r.publishOne(session, c, number) {
			number++
			pause(session, r.Pause)
		}
		r.drop()
	}
}

// publishOne is true when the message was acknowledged.
func (r *Robot) publishOne(ctx context.Context, c *client.Client, number int) bool {
	m := Mark{r.Name, number}
	r.History.Sent(m, r.place, r.connections)
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, r.within())
	defer cancel()
	p := packet.Publish{Topic: []byte(r.Topic), QoS: r.QoS, Payload: fmt.Appendf(nil, "%-*s", r.Size, fmt.Sprintf("%s %d", r.Name, number))}
	reason, _, err := c.Publish(within, &p)
	switch {
	case err != nil:
		r.History.Answered("publish unanswered", time.Since(began))
		return false
	case reason.Failed():
		r.History.Answered(fmt.Sprintf("publish refused 0x%02x", uint8(reason)), time.Since(began))
		pause(ctx, 50*time.Millisecond)
		return false
	}
	r.History.Answered("publish ok", time.Since(began))
	r.History.Acked(m)
	return true
}

// Subscribe keeps a persistent session with one subscription until ctx ends,
// and notes what arrives.
func (r *Robot) Subscribe(ctx context.Context) {
	subscribed := r.Resumes
	for ctx.Err() == nil {
		c, session, err := r.connect(ctx, false)
		if err != nil {
			r.moves.Add(1)
			pause(ctx, max(r.Pause, 50*time.Millisecond))
			continue
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			for p := range c.Messages() {
				r.note(p)
			}
		}()
		if !subscribed || !c.Connack().SessionPresent {
			subscribed = r.subscribe(session, c)
		}
		<-session.Done()
		<-read
	}
}

// subscribe is true when the subscription was granted.
func (r *Robot) subscribe(ctx context.Context, c *client.Client) bool {
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, r.within())
	defer cancel()
	codes, err := c.Subscribe(within, &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte(r.Topic), QoS: r.QoS}}})
	switch {
	case err != nil:
		r.History.Answered("subscribe unanswered", time.Since(began))
		r.drop()
	case len(codes) != 1 || codes[0].Failed():
		r.History.Answered(fmt.Sprintf("subscribe refused %v", codes), time.Since(began))
		r.drop()
		pause(ctx, 100*time.Millisecond)
	default:
		r.History.Answered("subscribe ok", time.Since(began))
		r.History.Subscribed(r.Name, r.place)
		return true
	}
	return false
}

// note reads a robot's message.
func (r *Robot) note(p *packet.Publish) {
	name, number, ok := strings.Cut(string(bytes.TrimSpace(p.Payload)), " ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil {
		return // not a robot's
	}
	r.History.Arrived(r.Name, Mark{name, n}, p.Dup)
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
