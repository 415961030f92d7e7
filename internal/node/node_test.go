package node

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tombolo/internal/member"
	"tombolo/internal/option"
	"tombolo/mqtt/session"
)

// TestNodeID: a data directory has one id for as long as it lives; a file that
// holds none is an error that says what to do, never a new id.
func TestNodeID(t *testing.T) {
	path := filepath.Join(t.TempDir(), idFile)
	first, err := nodeID(path)
	if err != nil || first == 0 {
		t.Fatalf("a new directory: id %d, %v", first, err)
	}
	again, err := nodeID(path)
	if err != nil || again != first {
		t.Fatalf("the same directory: id %d, %v; want %d", again, err, first)
	}
	other, err := nodeID(filepath.Join(t.TempDir(), idFile))
	if err != nil || other == first {
		t.Fatalf("another directory: id %d, %v; want another than %d", other, err, first)
	}
	for _, bad := range []string{"", "not hex", "0011"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err := nodeID(path); err == nil || !strings.Contains(err.Error(), "backup") {
			t.Errorf("a file that holds %q: id %d, error %v; want one that names the remedy", bad, id, err)
		}
	}
}

// TestSeconds: what MQTT cannot say never ends.
func TestSeconds(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want uint32
	}{
		{0, 0}, {1500 * time.Millisecond, 1}, {time.Hour, 3600},
		{option.Unlimited, session.ExpiryNever}, {-1, session.ExpiryNever},
		{time.Duration(1<<32) * time.Second, session.ExpiryNever},
	} {
		if got := seconds(c.d); got != c.want {
			t.Errorf("seconds(%v) = %d, want %d", c.d, got, c.want)
		}
	}
}

// load reads options as flags would set them.
func load(t *testing.T, pairs ...string) *option.Settings {
	t.Helper()
	var src option.Sources
	for i := 0; i < len(pairs); i += 2 {
		src.Flags = append(src.Flags, option.Assignment{Key: pairs[i], Value: pairs[i+1], Origin: option.Origin{Kind: option.FromFlag, Name: "--" + pairs[i]}})
	}
	set, faults := option.Load(src)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return set
}

// TestRehearsedClock: a wall clock is set wrong on a node that rehearses, and on no
// other.
func TestRehearsedClock(t *testing.T) {
	plain := New(Config{Settings: load(t)})
	plain.openClocks()
	if err := (&view{plain}).SetOption(clockKey, "60"); err == nil || !strings.Contains(err.Error(), "does not rehearse") || plain.set.Int(clockKey) != 0 {
		t.Errorf("a node in production: %v", err)
	}
	n := New(Config{Settings: load(t, "cluster.rehearsal", "on", clockKey, "-60")})
	n.openClocks()
	off := func() time.Duration { return n.wall.Now().Round(0).Sub(time.Now().Round(0)).Round(time.Second) }
	if got := off(); got != -time.Minute {
		t.Errorf("it started %v off, want a minute back", got)
	}
	if err := (&view{n}).SetOption(clockKey, "3600"); err != nil {
		t.Fatal(err)
	}
	n.setClock()
	if got := off(); got != time.Hour {
		t.Errorf("it is %v off, want an hour", got)
	}
	if got := n.steady.Now().Round(0).Sub(time.Now().Round(0)).Round(time.Second); got != -time.Minute {
		t.Errorf("the steady clock is %v off, want what it was at the start", got)
	}
}

// TestSettings: the options that name a limit reach the broker.
func TestSettings(t *testing.T) {
	b := brokerSettings(load(t,
		"max_inflight_messages", "7", "queue_full", "refuse", "queue_type", "lifo", "max_keepalive", "90",
		"persistent_client_expiration", "2d", "outbox_full", "disconnect", "allow_anonymous", "on",
		"shared_subscription_policy", "random", "max_last_will_delay", "client"))
	l := b.Limits
	switch {
	case l.InflightMax != 7, l.KeepAliveMax != 90, l.PersistentExpiry != 2*86400, l.WillDelayMax != session.ExpiryNever:
		t.Errorf("limits %+v", l)
	case !b.Queue.Refuse, !b.Queue.LIFO, !b.OutboxDisconnect, !b.Anonymous:
		t.Errorf("settings %+v", b)
	}
	if got := versions([]int{4, 5, 131}); got != 1<<4|1<<5 {
		t.Errorf("versions 4, 5, 131 are %b", got)
	}
}

// TestGossipSettings: what is set of memberlist reaches it (member.TestTuning), in
// milliseconds where no unit is said, and what is not set is what the options say.
func TestGossipSettings(t *testing.T) {
	const at = "cluster.memberlist."
	set := gossipConfig(load(t, at+"tcp_timeout", "1500", at+"push_pull_interval", "2s", at+"probe_interval", "3000", at+"probe_timeout", "400",
		at+"gossip_interval", "500", at+"gossip_to_the_dead_time", "6m", at+"indirect_checks", "7", at+"retransmit_mult", "8",
		at+"suspicion_mult", "9"), addresses{gossip: "g", advertisedGossip: "a"}, []byte("s"))
	want := member.GossipConfig{Bind: "g", Advertise: "a", Secret: []byte("s"), TCPTimeout: 1500 * time.Millisecond, PushPullInterval: 2 * time.Second,
		ProbeInterval: 3 * time.Second, ProbeTimeout: 400 * time.Millisecond, GossipInterval: 500 * time.Millisecond, GossipToTheDeadTime: 6 * time.Minute,
		IndirectChecks: 7, RetransmitMult: 8, SuspicionMult: 9}
	if !reflect.DeepEqual(set, want) {
		t.Errorf("set: %+v\nwant %+v", set, want)
	}
	unset := gossipConfig(load(t, "cluster.insecure", "on"), addresses{}, nil)
	want = member.GossipConfig{Insecure: true, TCPTimeout: 10 * time.Second, PushPullInterval: 15 * time.Second,
		ProbeInterval: time.Second, ProbeTimeout: 500 * time.Millisecond, GossipInterval: 200 * time.Millisecond, GossipToTheDeadTime: 30 * time.Second,
		IndirectChecks: 3, RetransmitMult: 4, SuspicionMult: 4}
	if !reflect.DeepEqual(unset, want) {
		t.Errorf("unset: %+v\nwant %+v", unset, want)
	}
}

// TestCheckListeners: a node that nobody could reach does not start, and dev
// does not open where others reach it.
func TestCheckListeners(t *testing.T) {
	none := New(Config{Settings: load(t, "listener.tcp.default", "off")})
	if err := none.checkListeners(); err == nil || !strings.Contains(err.Error(), "listener.tcp.default") {
		t.Errorf("no MQTT listener: %v", err)
	}
	open := New(Config{Settings: load(t, "listener.tcp.default", "0.0.0.0:11883"), LoopbackOnly: true})
	if err := open.checkListeners(); err == nil || !strings.Contains(err.Error(), "tombolo start") {
		t.Errorf("dev on every address: %v", err)
	}
	fine := New(Config{Settings: load(t, "listener.tcp.default", "127.0.0.1:11883"), LoopbackOnly: true})
	if err := fine.checkListeners(); err != nil {
		t.Error(err)
	}
}

// TestMemoryBudgets: both databases together stay within leveldb.maximum_memory.
func TestMemoryBudgets(t *testing.T) {
	n := New(Config{Settings: load(t, "leveldb.maximum_memory", "64MB")})
	meta, msgs := n.memoryBudgets()
	if meta+msgs != 64<<20 || meta != 16<<20 {
		t.Errorf("budgets %d and %d, want a quarter and the rest of 64 MiB", meta, msgs)
	}
}

// TestR11WaitingBytes: what may wait for a spool is what VerneMQ's option says, but
// never less than a burst needs.
func TestR11WaitingBytes(t *testing.T) {
	for value, want := range map[string]int{"": 64 << 20, "10000": 1 << 20, "8388608": 8 << 20} {
		var pairs []string
		if value != "" {
			pairs = []string{"outgoing_clustering_buffer_size", value}
		}
		if got := waitingBytes(load(t, pairs...)); got != want {
			t.Errorf("%q: %d bytes, want %d", value, got, want)
		}
	}
}
