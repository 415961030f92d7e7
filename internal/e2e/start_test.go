package e2e

import (
	"fmt"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// TestRestartRefusesNobody: clients that come back to a node the moment it listens
// again, stopped before or killed, are served when it knows the others, and never told
// that it is unavailable: MQTT.js and mosquitto_sub would not try again.
func TestRestartRefusesNobody(t *testing.T) {
	c := startTrio(t)
	n := c.nodes[0]
	for round, end := range []func(){n.terminate, n.kill} {
		end()
		n.start()
		began := time.Now()
		for i, version := range []packet.Version{packet.V31, packet.V311, packet.V5} {
			u := n.join(fmt.Sprintf("back-%d-%d", round, i), func(p *packet.Connect) { p.Version = version })
			u.listen("back", 1)
		}
		t.Logf("all were served %v after it listened", time.Since(began))
		c.whole()
	}
}
