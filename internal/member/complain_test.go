package member

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"tombolo/internal/freeport"
)

// TestSeedsThatDoNotTakeUs: a node that is to join by its configuration says what it
// waits for and what to do, and the node that it asks says it once, not every second.
func TestSeedsThatDoNotTakeUs(t *testing.T) {
	nobody, err := freeport.Address() // not of the range from which others get theirs
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(c *Config)
		seed   string   // "": the other node
		says   []string // what the node waits for
		hears  string   // in the log of the other one
	}{
		"another secret": {func(c *Config) { c.Gossip.Secret = []byte("another secret, as long") }, "", []string{"another cluster.secret_key", "give both the same"}, "another cluster.secret_key"},
		"no secret":      {func(c *Config) { c.Gossip.Secret = nil }, "", []string{"cluster.secret_key", "give both the same"}, "has no cluster.secret_key"},
		"another name":   {func(c *Config) { c.Cluster = "other" }, "", []string{"cluster.name is not \"other\""}, "another cluster.name"},
		"nobody there":   {func(*Config) {}, nobody, []string{"nothing listens at " + nobody, "cluster.gossip_port"}, ""},
		"refused by all": {func(c *Config) { c.Refused = func() string { return "durability differs" } }, nobody, []string{"no node takes this one: durability differs"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a, b := r.unit(1).start(), r.unit(2)
			c.change(&b.config)
			if c.seed == "" {
				c.seed = a.set.GossipAddress()
			}
			b.start(c.seed)
			for _, text := range c.says {
				within(t, text, func() bool { return strings.Contains(b.set.Status().Text, text) })
				within(t, "in its log: "+text, func() bool { return b.said(text) })
			}
			if c.hears != "" {
				within(t, c.hears, func() bool { return a.said(c.hears) })
			}
		})
	}
}

// TestComplaintsAreLimited: the same matter is a warning once in half a minute.
func TestComplaintsAreLimited(t *testing.T) {
	now := time.Unix(1e9, 0)
	var got []slog.Level
	w := &logWriter{log: func(l slog.Level, _ string) { got = append(got, l) }, now: func() time.Time { return now }}
	say := func(lines ...string) {
		for _, l := range lines {
			_, _ = w.Write([]byte(l))
		}
	}
	const secret = "[ERR] memberlist: failed to receive: No installed keys could decrypt the message from=192.0.2.1:9"
	say(secret, secret, "[ERR] memberlist: Failed push/pull merge", "[DEBUG] memberlist: Stream connection")
	say(`[ERR] memberlist: discarding stream with unacceptable label "x": from=192.0.2.1:9`)
	now = now.Add(complainEvery)
	say(secret)
	want := []slog.Level{slog.LevelWarn, slog.LevelDebug, slog.LevelInfo, slog.LevelDebug, slog.LevelWarn, slog.LevelWarn}
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("levels %v, want %v", got, want)
		}
	}
}
