package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	mqttclient "tombolo/internal/client"
	"tombolo/mqtt/packet"
	"tombolo/netsplit"
)

// TestStartHoldsConnects: a CONNECT at a node that has just started waits until it is
// admitted, and is refused, with the reason, when that takes too long; closed for
// another reason, it is refused at once.
func TestStartHoldsConnects(t *testing.T) {
	m := rig(t, 2)
	n := m.nodes[0]
	connect := func(version packet.Version) <-chan error {
		got := make(chan error, 1)
		go func() {
			c, err := mqttclient.Dial(context.Background(), mqttclient.Config{Address: n.addr, Connect: packet.Connect{Version: version, CleanStart: true, ClientID: []byte("early")}})
			if err == nil {
				c.Close()
			}
			got <- err
		}()
		return got
	}
	gate := func(s *netsplit.Snapshot) {
		n.gate.Publish(s)
		n.b.GateChanged()
	}
	gate(netsplit.Starting("not yet"))
	for _, version := range []packet.Version{packet.V311, packet.V5} {
		got := connect(version)
		eventually(t, "the CONNECT to wait", n.b.starts.waited)
		gate(netsplit.Starting("not yet either"))
		eventually(t, "it to wait on", n.b.starts.waited)
		select {
		case err := <-got:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		gate(netsplit.NewSnapshot(false))
		if err := <-got; err != nil {
			t.Errorf("MQTT %v: %v", version, err)
		}
		gate(netsplit.Starting("not yet"))
	}
	began := time.Now()
	var refused *mqttclient.RefusedError
	if err := <-connect(packet.V5); !errors.As(err, &refused) || refused.Reason != packet.ServerUnavailable || time.Since(began) < startWait {
		t.Errorf("a start that does not end: %v after %v", err, time.Since(began))
	}
	gate(netsplit.Closed("no member"))
	began = time.Now()
	if err := <-connect(packet.V5); !errors.As(err, &refused) || time.Since(began) > startWait/2 {
		t.Errorf("closed for good: %v after %v", err, time.Since(began))
	}
}

// waited reports whether a CONNECT waits for the next snapshot.
func (s *starts) waited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.turned != nil
}
