package node

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"tombolo/internal/cluster"
	"tombolo/internal/kv"
	"tombolo/internal/link"
	"tombolo/internal/member"
	"tombolo/internal/option"
	"tombolo/internal/spool"
	"tombolo/internal/wire"
	"tombolo/netsplit"
)

// Names in the data directory, beside those in stores.go.
const (
	incarnationFile = "incarnation"
	membersFile     = "members"
	spoolDir        = "spool"
)

// clusterKeys are the options that make a node look for others, or let them
// find it. A node with none of them opens no port for a cluster.
var clusterKeys = []string{"cluster.seeds", "cluster.secret_key", "cluster.bind_address", "cluster.cafile", "cluster.insecure"}

// clustered reports whether a node with these settings takes part in a cluster.
func clustered(set *option.Settings) bool { return slices.ContainsFunc(clusterKeys, set.IsSet) }

// openCluster makes this node's end of the cluster, if it is to have one.
func (n *Node) openCluster() error {
	dir := n.set.String("data_dir")
	if !clustered(n.set) {
		if _, err := os.Stat(filepath.Join(dir, membersFile)); err == nil {
			return fmt.Errorf("%s belongs to a member of a cluster, and no option says how to reach the others; set cluster.secret_key and cluster.seeds as before", dir)
		}
		return nil
	}
	secret, err := clusterSecret(n.set.String("cluster.secret_key"))
	if err != nil {
		return err
	}
	secure, err := clusterTLS(n.set)
	if err != nil {
		return err
	}
	inc, err := link.NextIncarnation(filepath.Join(dir, incarnationFile), n.wall.Now())
	if err != nil {
		return err
	}
	at, err := clusterAddresses(n.set)
	if err != nil {
		return err
	}
	if err := n.openSpool(filepath.Join(dir, spoolDir)); err != nil {
		return err
	}
	config := cluster.Config{
		Name: n.set.String("cluster.name"), Node: wire.NodeID(n.id), NodeName: n.set.String("nodename"), Incarnation: inc,
		Durability: n.set.String("durability"), DurabilityMayDiffer: n.set.Bool("cluster.durability_may_differ"), Bind: at.link, Advertise: at.advertisedLink,
		TLS: secure, Secret: secret, Insecure: n.set.Bool("cluster.insecure"),
		Gate: &n.gate, Policy: netsplitPolicy(n.set), Tiebreaker: n.set.String("cluster.tiebreaker"),
		ConfirmWait: n.set.Duration("cluster.publish_confirm_wait"), WaitingBytes: waitingBytes(n.set),
		Members: &member.Config{
			Seeds: withPort(n.set.List("cluster.seeds"), n.set.Int("cluster.gossip_port")), Expected: n.set.Int("cluster.expected_members"),
			Path: filepath.Join(dir, membersFile), DeadMemberTimeout: finite(n.set.Duration("cluster.dead_member_timeout")),
			Gossip: gossipConfig(n.set, at, secret),
		},
		Answer: func(ctx context.Context, method, target string, body []byte) (int, []byte) {
			return n.admin.Answer(ctx, method, target, body)
		},
		Clock: n.wall, Steady: n.steady, Metrics: n.metrics, Log: n.log.For("cluster"),
	}
	if n.spool != nil {
		config.Spool = n.spool
	}
	n.cluster = cluster.New(config)
	return nil
}

// openSpool opens what keeps publishes for members that are away. With
// durability = memory that is memory as well, and the links have it.
func (n *Node) openSpool(dir string) error {
	if n.set.String("durability") == "memory" {
		return nil
	}
	logger := n.log.For("cluster")
	c := spool.Config{BytesMax: n.set.Bytes("cluster.spool_limit"), NoCompression: !n.set.Bool("leveldb.compression"), Metrics: n.metrics,
		Damaged: func(text string) { logger.Error("the spool is damaged", "what", text) }}
	if n.set.String("durability") != "fsync" {
		c.Sync = kv.SyncNever
	}
	s, report, err := spool.Open(dir, c)
	if err != nil {
		return fmt.Errorf("spool %s: %w", dir, err)
	}
	n.logReport(dir, report)
	n.spool = s
	return nil
}

// joins reports whether the metadata of this node, if there is none, is to come
// from a cluster that exists already.
func (n *Node) joins() bool {
	_, err := os.Stat(filepath.Join(n.set.String("data_dir"), membersFile))
	return n.cluster != nil && len(n.set.List("cluster.seeds")) > 0 && errors.Is(err, os.ErrNotExist)
}

// finite is a timeout of which zero is never.
func finite(d time.Duration) time.Duration {
	if d == option.Unlimited {
		return 0
	}
	return d
}

// secretBytesMin is what links and gossip ask of a secret.
const secretBytesMin = 16

// clusterSecret is the key that an option names: 16, 24 or 32 bytes in base64,
// or any text, which is hashed.
func clusterSecret(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil && slices.Contains([]int{16, 24, 32}, len(raw)) {
		return raw, nil
	}
	if len(text) < secretBytesMin {
		return nil, fmt.Errorf("cluster.secret_key has %d characters, %d are the least; make one with: head -c 32 /dev/urandom | base64", len(text), secretBytesMin)
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:], nil
}

// clusterTLS is mutual TLS between nodes, nil if it is not configured.
func clusterTLS(set *option.Settings) (*tls.Config, error) {
	ca, cert, key := set.String("cluster.cafile"), set.String("cluster.certfile"), set.String("cluster.keyfile")
	if ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	if ca == "" || cert == "" || key == "" {
		return nil, errors.New("links over TLS need all three of cluster.cafile, cluster.certfile and cluster.keyfile")
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("cluster.cafile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("cluster.cafile: %s holds no certificate in PEM", ca)
	}
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cluster.certfile: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}, nil
}

// addresses are where a node listens for others, and what they are told. A
// value.
type addresses struct{ link, gossip, advertisedLink, advertisedGossip string }

func clusterAddresses(set *option.Settings) (a addresses, err error) {
	bind, err := netip.ParseAddr(set.String("cluster.bind_address"))
	if err != nil {
		return a, fmt.Errorf("cluster.bind_address: %w; it is an IP address without a port", err)
	}
	told := set.String("cluster.advertise_address")
	if told == "" {
		if told, err = reachableAddress(bind); err != nil {
			return a, err
		}
	}
	port := func(key, other string) string {
		p := set.Int(key)
		if other != "" && set.Int(other) != 0 {
			p = set.Int(other)
		}
		return strconv.Itoa(p)
	}
	a.link = net.JoinHostPort(bind.String(), port("cluster.link_port", ""))
	a.gossip = net.JoinHostPort(bind.String(), port("cluster.gossip_port", ""))
	a.advertisedLink = net.JoinHostPort(told, port("cluster.link_port", "cluster.advertise_link_port"))
	a.advertisedGossip = net.JoinHostPort(told, port("cluster.gossip_port", "cluster.advertise_gossip_port"))
	return a, nil
}

// reachableAddress is what others use when the bind address is every address:
// the first private one, else the first that is not loopback.
func reachableAddress(bind netip.Addr) (string, error) {
	if !bind.IsUnspecified() {
		return bind.String(), nil
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("cluster.advertise_address: %w", err)
	}
	best := ""
	for _, x := range list {
		p, err := netip.ParsePrefix(x.String())
		if err != nil || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || p.Addr().Is4() != bind.Is4() {
			continue
		}
		if p.Addr().IsPrivate() {
			return p.Addr().String(), nil
		}
		if best == "" {
			best = p.Addr().String()
		}
	}
	if best == "" {
		return "", errors.New("this machine has no address but loopback; set cluster.bind_address, or cluster.advertise_address to what other nodes use")
	}
	return best, nil
}

func withPort(list []string, port int) []string {
	out := make([]string, len(list))
	for i, s := range list {
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), strconv.Itoa(port))
		}
		out[i] = s
	}
	return out
}

func gossipConfig(set *option.Settings, at addresses, secret []byte) member.GossipConfig {
	duration := func(name string) time.Duration { return set.Duration("cluster.memberlist." + name) }
	count := func(name string) int { return set.Int("cluster.memberlist." + name) }
	return member.GossipConfig{
		Bind: at.gossip, Advertise: at.advertisedGossip, Secret: secret, Insecure: set.Bool("cluster.insecure"),
		TCPTimeout: duration("tcp_timeout"), PushPullInterval: duration("push_pull_interval"),
		ProbeInterval: duration("probe_interval"), ProbeTimeout: duration("probe_timeout"),
		GossipInterval: duration("gossip_interval"), GossipToTheDeadTime: duration("gossip_to_the_dead_time"),
		IndirectChecks: count("indirect_checks"), RetransmitMult: count("retransmit_mult"), SuspicionMult: count("suspicion_mult"),
	}
}

// waitingBytesMin is the least that may wait for a spool.
const waitingBytesMin = 1 << 20

// waitingBytes is how much may wait in memory for the spool of one peer.
func waitingBytes(set *option.Settings) int {
	return int(max(set.Bytes("outgoing_clustering_buffer_size"), waitingBytesMin))
}

// netsplitPolicy reads the four flags.
func netsplitPolicy(set *option.Settings) (p netsplit.Policy) {
	for op, name := range map[netsplit.Operation]string{netsplit.Register: "register", netsplit.Publish: "publish",
		netsplit.Subscribe: "subscribe", netsplit.Unsubscribe: "unsubscribe"} {
		p[op], _ = netsplit.ParseMode(set.String("allow_" + name + "_during_netsplit")) // the option takes nothing else
	}
	return p
}

// tunables are what a running cluster may be told.
func tunables(set *option.Settings) cluster.Tunables {
	return cluster.Tunables{
		Policy: netsplitPolicy(set), Tiebreaker: set.String("cluster.tiebreaker"),
		ConfirmWait:       set.Duration("cluster.publish_confirm_wait"),
		DeadMemberTimeout: finite(set.Duration("cluster.dead_member_timeout")),
	}
}

// markStopped says in the member record that this node stops as planned, so
// that nobody takes it for a netsplit (R27). What cannot be said in time is
// noticed by the others in theirs.
func (n *Node) markStopped(limit time.Duration) {
	if n.cluster == nil || n.cluster.Alone() || n.leaving.standing() != member.Joined {
		return
	}
	if s := n.cluster.Status(); 2*len(s.Reachable) <= len(s.Members) {
		return // nobody could make it take effect (R24)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := n.cluster.Members().SetState(ctx, wire.MemberStopped); err != nil {
		n.logger.Warn("the other members do not know that this stop is planned", "error", err)
	}
}

// flush gives the other members time to take in what the end of this node's
// connections has written; who adopts its sessions wants that.
func (n *Node) flush(limit time.Duration) {
	if n.cluster == nil || n.cluster.Alone() || n.leaving.standing() == member.Removed {
		return // who is no member any more has nobody to tell
	}
	done := make(chan struct{})
	n.cluster.Replicated(func(error) { close(done) }) // what is not there in time comes at the next start
	over := time.NewTimer(limit)
	defer over.Stop()
	select {
	case <-done:
	case <-over.C:
	}
}
