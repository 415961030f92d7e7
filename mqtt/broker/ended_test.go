package broker

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqttclient "tombolo/internal/client"
	"tombolo/internal/kv"
	"tombolo/mqtt/packet"
)

// TestEndedIsEndedEverywhere: a client that has ended its session finds none at
// another node, however soon it connects there: its old home vouches for what that
// node's tables say, or the client is not let in.
func TestEndedIsEndedEverywhere(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	s := a.dialRaw(t, "s")
	a.silent.Store(true)
	a.cluster.late.Store(true)
	s.leaves(0)
	a.awaitNothing(t, "s")
	b.wantsNobody(t, "s")
	a.silent.Store(false)
	a.cluster.late.Store(false)
	if again := b.dial(t, "s", lasting); again.Connack().SessionPresent {
		t.Error("the session is back")
	}
}

// TestEndedJustNow: the same while its end is on its way to the disk of its home.
func TestEndedJustNow(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	s := a.dialRaw(t, "s")
	a.halting.Lock()
	s.leaves(0)
	a.awaitNothing(t, "s")
	present := make(chan bool, 1)
	go func() { present <- b.dial(t, "s", lasting).Connack().SessionPresent }()
	asked := time.NewTimer(200 * time.Millisecond) // the old home has been asked, and does not answer
	defer asked.Stop()
	<-asked.C
	a.halting.Unlock()
	if <-present {
		t.Error("the session is back")
	}
}

// dialRaw begins a lasting session of MQTT 5 over a bare connection.
func (n *rigNode) dialRaw(t *testing.T, id string) *wireman {
	t.Helper()
	conn, err := net.Dial("tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w := &wireman{t: t, conn: conn}
	c := packet.Connect{Version: packet.V5, ClientID: []byte(id)}
	lasting(&c)
	w.send(packet.AppendConnect(nil, &c))
	w.wait(packet.TypeConnack)
	return w
}

// leaves disconnects, and changes when the session ends.
func (w *wireman) leaves(expiry uint32) {
	w.t.Helper()
	d := packet.Disconnect{Properties: packet.Properties{Set: packet.PropSessionExpiry, SessionExpiry: expiry}}
	w.send(packet.AppendDisconnect(nil, packet.V5, &d))
}

// haltingDisk is a disk whose writes wait while halt is locked. Their bytes are
// counted.
type haltingDisk struct {
	kv.DB
	halt  *sync.RWMutex
	wrote *atomic.Int64
}

func (d haltingDisk) Write(b *kv.Batch, synced bool) error {
	d.halt.RLock()
	defer d.halt.RUnlock()
	d.wrote.Add(int64(b.Bytes()))
	return d.DB.Write(b, synced)
}

// TestCleanSessionEndsEverywhere: a clean session at another node begins when the old
// home has heard that it ended the client's last one: the client may turn back there.
func TestCleanSessionEndsEverywhere(t *testing.T) {
	m := rig(t, 3)
	a, b := m.nodes[0], m.nodes[1]
	s := a.dial(t, "s", v311, lasting)
	s.subscribe(1, "t")
	s.Disconnect(packet.Success)
	eventually(t, "b knows the session", func() bool { return b.b.isAway(Key{ClientID: "s"}) })
	b.cluster.late.Store(true)
	b.wantsNobody(t, "s", v311, clean)
	b.cluster.late.Store(false)
	eventually(t, "a has heard of the end", func() bool {
		rec, err := a.b.storedSession(Key{ClientID: "s"})
		return err == nil && rec == nil
	})
	if again := a.dial(t, "s", v311, lasting); again.Connack().SessionPresent {
		t.Error("the session is back")
	}
}

func clean(c *packet.Connect) { c.CleanStart = true }

// wantsNobody wants a client to be refused.
func (n *rigNode) wantsNobody(t *testing.T, id string, change ...func(*packet.Connect)) {
	t.Helper()
	c := packet.Connect{Version: packet.V5, ClientID: []byte(id)}
	for _, f := range change {
		f(&c)
	}
	cl, err := mqttclient.Dial(context.Background(), mqttclient.Config{Address: n.addr, Connect: c})
	if err == nil {
		t.Errorf("it was let in, session present %v", cl.Connack().SessionPresent)
		cl.Close()
	}
}
