package member

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"

	"tombolo/internal/wire"
)

// gossipKeyLabel is what the key of gossip is derived with, so that it is
// another one than any that the links use.
const gossipKeyLabel = "tombolo gossip 1"

// gossipKey derives memberlist's key, for AES-256, from the cluster's secret.
func gossipKey(secret []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, nil, gossipKeyLabel, 32)
}

// gossip is memberlist behind what a Set needs of it. Safe for concurrent use
// once it has started. It is told of in no exported signature.
type gossip struct {
	config    *Config
	transport *cutTransport
	list      atomic.Pointer[memberlist.Memberlist]
	facts     atomic.Pointer[[]byte]
	started   chan struct{} // closed when nodes can be asked
	notice    chan struct{} // holds a token when nodes have come, gone or changed
	mu        struct {
		sync.Mutex
		nodes map[wire.NodeID]heard // the others that are alive
	}
}

func newGossip(c *Config) *gossip {
	g := &gossip{config: c, started: make(chan struct{}), notice: make(chan struct{}, 1)}
	g.mu.nodes = map[wire.NodeID]heard{}
	return g
}

// listen opens the port and returns the address that others are to use.
func (g *gossip) listen() (string, error) {
	c := &g.config.Gossip
	bind, err := netip.ParseAddrPort(c.Bind)
	if err != nil {
		return "", fmt.Errorf("member: gossip address %q: %w", c.Bind, err)
	}
	t, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{bind.Addr().String()}, BindPort: int(bind.Port()), Logger: g.logger(),
	})
	if err != nil {
		return "", listenFault(c.Bind, err)
	}
	g.transport = newCutTransport(t)
	if c.Advertise != "" {
		return c.Advertise, nil
	}
	ip, port, err := t.FinalAdvertiseAddr("", 0)
	if err != nil {
		_ = g.transport.Shutdown()
		return "", fmt.Errorf("member: set cluster.advertise: the address that other nodes reach %s at cannot be told: %w", c.Bind, err)
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(port)), nil
}

// listenFault gives back the error of the system of which memberlist makes text, so
// that who listens can tell a port that is taken, for which to wait.
func listenFault(address string, err error) error {
	for _, e := range []syscall.Errno{syscall.EADDRINUSE, syscall.EADDRNOTAVAIL} {
		if !errors.Is(err, e) && strings.HasSuffix(err.Error(), e.Error()) {
			plane := "TCP"
			if strings.Contains(err.Error(), "UDP") {
				plane = "UDP"
			}
			err = fmt.Errorf("%s: %w", plane, e)
		}
	}
	return fmt.Errorf("member: cannot listen at %s, %w", address, err)
}

// start makes the node known and heard.
func (g *gossip) start(ctx context.Context, self *wire.Member) error {
	ip, port, err := g.resolve(ctx, self.Gossip)
	if err != nil {
		return err
	}
	c := &g.config.Gossip
	m := c.tuned()
	m.Name, m.Label = idText(self.ID), g.config.Cluster
	m.Transport, m.Logger = g.transport, g.logger()
	m.AdvertiseAddr, m.AdvertisePort, m.BindPort = ip, port, port
	m.Delegate, m.Events, m.Alive = &delegate{g}, &delegate{g}, &delegate{g}
	if c.Secret != nil {
		key, err := gossipKey(c.Secret)
		if err != nil {
			return fmt.Errorf("member: the key of gossip: %w", err)
		}
		if m.Keyring, err = memberlist.NewKeyring(nil, key); err != nil {
			return fmt.Errorf("member: the key of gossip: %w", err)
		}
	}
	l, err := memberlist.Create(m)
	if err != nil {
		return fmt.Errorf("member: gossip: %w", err)
	}
	g.list.Store(l)
	close(g.started)
	return nil
}

// tuned is memberlist's profile for a LAN with what the operator has set.
func (c *GossipConfig) tuned() *memberlist.Config {
	m := memberlist.DefaultLANConfig()
	m.TCPTimeout, m.PushPullInterval = c.TCPTimeout, c.PushPullInterval
	m.ProbeInterval, m.ProbeTimeout = c.ProbeInterval, c.ProbeTimeout
	m.GossipInterval, m.GossipToTheDeadTime = c.GossipInterval, c.GossipToTheDeadTime
	m.IndirectChecks, m.RetransmitMult, m.SuspicionMult = c.IndirectChecks, c.RetransmitMult, c.SuspicionMult
	m.SuspicionMaxTimeoutMult = 3           // an isolated node forgets the others in 12 s instead of 24
	m.DeadNodeReclaimTime = c.ProbeInterval // for so long a node must have been dead to come back under another address
	return m
}

// resolve finds the IP that memberlist wants to be told; a name that is not
// known yet is asked for until ctx ends.
func (g *gossip) resolve(ctx context.Context, address string) (string, int, error) {
	host, portText, err := net.SplitHostPort(address)
	port, err2 := strconv.ParseUint(portText, 10, 16)
	if err := errors.Join(err, err2); err != nil {
		return "", 0, fmt.Errorf("member: the gossip address %q for other nodes: %w", address, err)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), int(port), nil
	}
	for {
		ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
		if err == nil && len(ips) > 0 {
			return ips[0].IP.String(), int(port), nil
		}
		if ctx.Err() != nil {
			return "", 0, ctx.Err()
		}
		g.config.Log(slog.LevelWarn, fmt.Sprintf("this node's own gossip address %s does not resolve yet: %v", address, err))
		t := g.config.Clock.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			t.Stop()
			return "", 0, ctx.Err()
		case <-t.C():
		}
	}
}

// leave tells the others that this node will not come back.
func (g *gossip) leave() {
	if l := g.list.Load(); l != nil {
		if err := l.Leave(time.Second); err != nil {
			g.config.Log(slog.LevelDebug, "gossip: "+err.Error())
		}
	}
}

// stop ends gossip without a word to the others: a stop is not a leave.
func (g *gossip) stop() {
	if l := g.list.Swap(nil); l != nil {
		_ = l.Shutdown()
	}
	if g.transport != nil {
		_ = g.transport.Shutdown()
	}
}

// heard is a node that gossip knows. A value.
type heard struct {
	facts
	address string // of its gossip
}

// nodes returns the others that are alive, by id.
func (g *gossip) nodes() []heard {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := make([]heard, 0, len(g.mu.nodes))
	for _, h := range g.mu.nodes {
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b heard) int { return cmp.Compare(a.id, b.id) })
	return list
}

// hear notes a node that has come or changed, or that is gone. memberlist's own
// list is not asked: it gives away what it goes on changing.
func (g *gossip) hear(n *memberlist.Node, alive bool) {
	f, err := parseFacts(n.Meta)
	if err != nil || f.id == g.config.Self.ID {
		return
	}
	h := heard{f, n.Address()}
	g.transport.know(f.id, h.address)
	g.mu.Lock()
	if alive && (len(g.mu.nodes) < addressesMax || g.mu.nodes[f.id].id != 0) {
		g.mu.nodes[f.id] = h
	} else {
		delete(g.mu.nodes, f.id)
	}
	g.mu.Unlock()
	select {
	case g.notice <- struct{}{}:
	default:
	}
}

// tell gives the others new facts about this node.
func (g *gossip) tell(f []byte) {
	g.facts.Store(&f)
	if l := g.list.Load(); l != nil {
		if err := l.UpdateNode(time.Second); err != nil {
			g.config.Log(slog.LevelDebug, "gossip: "+err.Error())
		}
	}
}

// contact exchanges all that is known with a node. id may be 0.
func (g *gossip) contact(id wire.NodeID, address string) error {
	l := g.list.Load()
	if l == nil {
		return errors.New("gossip has ended")
	}
	if id != 0 {
		address = idText(id) + "/" + address
	}
	_, err := l.Join([]string{address})
	return err
}

// delegate is what memberlist calls, under its locks: none of it blocks, or
// calls memberlist. Immutable.
type delegate struct{ g *gossip }

// NodeMeta is memberlist's.
func (d *delegate) NodeMeta(limit int) []byte {
	f := d.g.facts.Load()
	if f == nil || len(*f) > limit {
		return nil
	}
	return *f
}

// NotifyMsg is memberlist's; we send no messages of our own.
func (d *delegate) NotifyMsg([]byte) {}

// GetBroadcasts is memberlist's.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState is memberlist's.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState is memberlist's.
func (d *delegate) MergeRemoteState([]byte, bool) {}

// NotifyJoin is memberlist's.
func (d *delegate) NotifyJoin(n *memberlist.Node) { d.g.hear(n, true) }

// NotifyLeave is memberlist's.
func (d *delegate) NotifyLeave(n *memberlist.Node) { d.g.hear(n, false) }

// NotifyUpdate is memberlist's.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.g.hear(n, true) }

// NotifyAlive refuses a node whose facts cannot be read, or whose name is not
// its id.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	f, err := parseFacts(n.Meta)
	if err == nil && idText(f.id) != n.Name {
		err = fmt.Errorf("its name is %s, its id %s", n.Name, idText(f.id))
	}
	if err != nil {
		return fmt.Errorf("facts of node %s: %w", n.Name, err)
	}
	return nil
}
