package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// killsDefault is the dose of the suite; E2E_KILLS sets another, for the
// long run (make long).
const killsDefault = 32

// window is how many messages a publisher has under way.
const window = 8

// storm is load from careful clients on a node that is killed again and again.
// Owned by its test.
type storm struct {
	t          *testing.T
	n          *node
	random     *rand.Rand
	history    *history
	publishers []*careful
	all        []*careful
	newcomers  []*careful
	flapping   *careful // loses its connection now and then
	slow       *careful // has a backlog, and every stage of QoS 2 in flight
	wandering  *careful // is away for every other kill
	stop       chan struct{}
	ended      chan struct{} // one value for each publisher
}

// seed is random unless E2E_SEED says otherwise, and printed if the test
// fails.
func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	if text := os.Getenv("E2E_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: E2E_SEED=%d go test ./internal/e2e -run '^%s$'", s, t.Name())
		}
	})
	return s
}

func kills(t *testing.T) int {
	text := os.Getenv("E2E_KILLS")
	switch {
	case text == "" && testing.Short():
		return killsDefault / 4
	case text == "":
		return killsDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("E2E_KILLS=%s: give a number of kills", text)
	}
	return n
}

// TestKill9 kills the node at random instants under load at QoS 1 and 2 and
// holds the history against what was promised.
func TestKill9(t *testing.T) {
	s := newStorm(t, "fsync")
	for range kills(t) {
		s.round()
	}
	s.finish()
}

// TestKill9WithoutSync does the same where the operating system alone keeps
// what was acknowledged: that is enough against the end of the process.
func TestKill9WithoutSync(t *testing.T) {
	s := newStorm(t, "os")
	for range (kills(t) + 3) / 4 {
		s.round()
	}
	s.finish()
}

func newStorm(t *testing.T, durability string) *storm {
	x := seed(t)
	s := &storm{t: t, random: rand.New(rand.NewPCG(x, 1)), history: newHistory(),
		stop: make(chan struct{}), ended: make(chan struct{}, 8)}
	s.n = startNode(t, "durability", durability, "max_offline_messages", "-1", "max_online_messages", "-1", "log.level", "warning")
	s.addSubscriber("sub-exact", 2)
	s.addSubscriber("sub-least", 1)
	s.flapping = s.addSubscriber("sub-flapping", 2)
	s.wandering = s.addSubscriber("sub-wandering", 2)
	s.slow = s.addSubscriber("sub-slow", 2)
	s.slow.lag.Store(int64(time.Millisecond))
	for _, c := range s.all {
		eventually(t, patience, c.name+" is subscribed", c.subscribed)
	}
	for i := range 4 {
		s.addPublisher(fmt.Sprintf("pub-%d", i), byte(1+i%2))
	}
	return s
}

func (s *storm) addSubscriber(name string, qos byte) *careful {
	c := newCareful(s.t, name)
	c.filter, c.qos, c.deliver = "load/+", qos, s.arrival(name)
	s.history.subscriber(name, qos)
	s.run(c)
	return c
}

func (s *storm) run(c *careful) {
	s.all = append(s.all, c)
	done := make(chan struct{})
	go func() { defer close(done); c.run(s.n.tcp) }()
	s.t.Cleanup(func() { c.halt(); <-done })
}

// arrival files what a subscriber receives.
func (s *storm) arrival(subscriber string) func(*packet.Publish) {
	return func(p *packet.Publish) {
		number, err := strconv.Atoi(string(p.Payload))
		if err != nil {
			number = -1 // invented
		}
		s.history.arrive(subscriber, mark{strings.TrimPrefix(string(p.Topic), "load/"), number})
	}
}

func (s *storm) addPublisher(name string, qos byte) {
	c := newCareful(s.t, name)
	s.history.publisher(name, qos)
	s.publishers = append(s.publishers, c)
	s.run(c)
	go func() {
		defer func() { s.ended <- struct{}{} }()
		for number := 1; ; number++ {
			for c.unanswered() >= window {
				select {
				case <-c.wake:
				case <-s.stop:
					return
				}
			}
			select {
			case <-s.stop:
				return
			default:
				s.publish(c, qos, number)
			}
		}
	}()
}

func (s *storm) publish(c *careful, qos byte, number int) {
	m := mark{c.name, number}
	s.history.send(m)
	c.publish(&packet.Publish{Topic: []byte("load/" + c.name), QoS: qos, Payload: []byte(strconv.Itoa(number))},
		func() { s.history.ack(m) })
}

// round lets the load run for a random while, with clients that come for the
// first time and one that loses its connection, kills the node and starts it.
func (s *storm) round() {
	s.t.Helper()
	for range 3 {
		c := newCareful(s.t, fmt.Sprintf("newcomer-%d", len(s.newcomers)))
		c.filter, c.qos = "new/"+c.name, 1
		c.deliver = func(*packet.Publish) {}
		s.newcomers = append(s.newcomers, c)
		s.run(c)
		pause(time.Duration(s.random.IntN(200)) * time.Millisecond)
		if s.random.IntN(2) == 0 {
			s.flapping.drop()
		}
	}
	s.wandering.away.Store(!s.wandering.away.Load())
	s.wandering.drop()
	pause(time.Duration(s.random.IntN(300)) * time.Millisecond)
	s.n.kill()
	s.n.start()
}

// finish ends the load and checks the history, and then once more after
// another kill, because what was delivered must not come again.
func (s *storm) finish() {
	s.t.Helper()
	close(s.stop)
	s.slow.lag.Store(0)
	s.wandering.away.Store(false)
	for range s.publishers {
		receive(s.t, "the end of a publisher", s.ended)
	}
	s.await()
	s.n.kill()
	s.n.start()
	for i, c := range s.publishers {
		s.publish(c, byte(1+i%2), 1<<40) // comes after whatever comes again
	}
	s.await()
	s.t.Log(s.history.counts())
	for _, fault := range s.history.check() {
		s.t.Error(fault)
	}
	for _, c := range s.all {
		for _, fault := range c.faults() {
			s.t.Error(fault)
		}
	}
	s.checkNewcomers()
}

// await waits for every acknowledgement and every delivery that is due.
func (s *storm) await() {
	s.t.Helper()
	for _, c := range s.publishers {
		if !c.settle(2 * patience) {
			s.t.Errorf("%s has %d publishes without an answer", c.name, c.unanswered())
		}
	}
	if !within(2*patience, s.history.complete) {
		s.t.Errorf("after %v deliveries are missing: %v; the slow subscriber holds %d messages that were not released",
			2*patience, s.history.missing(), s.slow.unreleased())
		_, text := s.n.get("/metrics")
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "tombolo_store_") && !strings.Contains(line, "_bucket") || strings.HasPrefix(line, "tombolo_mqtt_reads_paused") {
				s.t.Log(strings.TrimSpace(line))
			}
		}
	}
}

// checkNewcomers wants every subscription that was acknowledged.
func (s *storm) checkNewcomers() {
	s.t.Helper()
	for _, c := range s.newcomers {
		eventually(s.t, patience, c.name+" is subscribed", c.subscribed)
		path := "/api/v1/subscriptions?topic=new/" + c.name
		if status, body := s.n.ask(path); status != 200 || !strings.Contains(body, c.name) {
			s.t.Errorf("the subscription of %s is not there: %d %s", c.name, status, body)
		}
	}
}
