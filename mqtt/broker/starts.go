package broker

import (
	"sync"
	"time"
)

// startWait is how long a CONNECT waits for a node that has just started. It knows
// of the others after two or three seconds as a rule.
const startWait = 4 * time.Second

// starts are the CONNECTs that wait for the gate to open after a start. A refusal
// would be the honest answer as well, but many a client takes it for the last one:
// MQTT.js does not try again after a CONNACK that says no, and mosquitto_sub ends,
// while both go on when nobody listens or the answer takes a moment. So a restart
// would cost all clients that come back while it lasts.
type starts struct {
	mu struct {
		sync.Mutex
		turned chan struct{} // closed when the gate has another snapshot; nil while nobody waits
	}
}

// next gives a channel that is closed when the gate changes.
func (s *starts) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.turned == nil {
		s.mu.turned = make(chan struct{})
	}
	return s.mu.turned
}

// turn says that the gate has changed.
func (s *starts) turn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.turned != nil {
		close(s.mu.turned)
		s.mu.turned = nil
	}
}

// awaitStart has a CONNECT wait while this node has just started, for startWait at
// most; false if the broker stops. The caller is a worker and holds no key.
func (b *Broker) awaitStart() bool {
	if !b.cfg.Gate.Now().Soon {
		return true
	}
	timer := time.NewTimer(startWait)
	defer timer.Stop()
	for {
		changed := b.starts.next() // before the gate is read, so that no change is missed
		if !b.cfg.Gate.Now().Soon {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return true // and the gate says why not
		case <-b.stop:
			return false
		}
	}
}
