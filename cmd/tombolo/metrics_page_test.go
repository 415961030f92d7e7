package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"tombolo/internal/admin"
	"tombolo/internal/freeport"
	"tombolo/internal/metric"
	"tombolo/internal/node"
	"tombolo/internal/option"
)

// runningNode starts a node on ports that the system chooses and returns its
// admin socket; the test's end stops it.
func runningNode(t *testing.T) string {
	t.Helper()
	origin := option.Origin{Kind: option.FromCommand, Name: "test"}
	base := []option.Assignment{
		{Key: "data_dir", Value: filepath.Join(t.TempDir(), "data"), Origin: origin},
		{Key: "listener.tcp.default", Value: "127.0.0.1:0", Origin: origin},
		{Key: "listener.http.default", Value: "127.0.0.1:0", Origin: origin},
		{Key: "allow_anonymous", Value: "on", Origin: origin},
		{Key: "log.console", Value: "off", Origin: origin},
		{Key: "cluster.bind_address", Value: "127.0.0.1", Origin: origin}, // a cluster of one, for its metrics
		{Key: "cluster.link_port", Value: freePort(t), Origin: origin},
		{Key: "cluster.gossip_port", Value: freePort(t), Origin: origin},
	}
	set, faults := option.Load(option.Sources{Base: base})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	n := node.New(node.Config{Settings: set, LoopbackOnly: true, OnReady: func(*node.Node) { close(ready) }})
	go func() { done <- n.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("the node did not start: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	return node.SocketPath(set)
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := freeport.Find(1)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// declared asks a node for its metrics and takes the values away.
func declared(t *testing.T, socket string) []metric.Sample {
	t.Helper()
	client := admin.NewSocketClient(socket)
	defer client.Close()
	var list admin.MetricList
	if err := client.Do(t.Context(), "GET", "/api/v1/metrics", nil, nil, &list); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]metric.Kind{}
	for _, k := range []metric.Kind{metric.KindCounter, metric.KindGauge, metric.KindHistogram} {
		kinds[k.String()] = k
	}
	out := make([]metric.Sample, len(list.Metrics))
	for i, m := range list.Metrics {
		out[i] = metric.Sample{
			Opts: metric.Opts{Name: m.Name, Help: m.Help, Verne: m.Verne, Label: m.Label},
			Kind: kinds[m.Kind], LabelValue: m.LabelValue,
		}
	}
	return out
}

func TestMetricsPageIsFresh(t *testing.T) {
	want := metric.Markdown(declared(t, runningNode(t)))
	const path = "../../docs/metrics.md"
	if *updatePages {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/metrics.md is stale: go test ./cmd/tombolo -run MetricsPage -update")
	}
}

// TestCommandsAgainstANode runs what only reads against a broker as it is.
func TestCommandsAgainstANode(t *testing.T) {
	socket := runningNode(t)
	for _, args := range [][]string{
		{"ping"}, {"show"}, {"show", "data_dir", "--describe"}, {"metrics", "show", "--describe"}, {"session", "show"},
		{"retain", "show"}, {"listener", "show"}, {"log", "level"}, {"log", "level", "mqtt=debug"}, {"set", "max_message_rate=7"},
	} {
		out, errs, code := runCommand(t, append(args, "--socket", socket)...)
		if code != 0 || out == "" || errs != "" {
			t.Errorf("tombolo %v: exit %d, %q, %q", args, code, out, errs)
		}
	}
}

// TestMetricsOfTheGuides holds that every metric which a guide tells an operator
// to look at exists, in our name.
func TestMetricsOfTheGuides(t *testing.T) {
	names := map[string]bool{}
	for _, s := range declared(t, runningNode(t)) {
		names[s.Name] = true
		if s.Kind == metric.KindHistogram {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				names[s.Name+suffix] = true
			}
		}
	}
	named := regexp.MustCompile("`((?:cluster|netsplit|spool|mqtt|queue|sessions|messages|metadata|metadb|messagedb)_[a-z0-9_]+)(?:\\{[^`]*\\})?`")
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	options := map[string]bool{}
	for _, o := range option.All() {
		options[o.Key] = true
	}
	found := 0
	for _, page := range pages {
		switch filepath.Base(page) {
		case "metrics.md", "conformance.md", "migrating-from-vernemq.md", "cli.md", "http-api.md": // made from the program, or about other names
			continue
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllSubmatch(text, -1) {
			if name := string(m[1]); !names[name] && !options[name] {
				t.Errorf("%s names the metric %s, which does not exist", page, name)
			}
			found++
		}
	}
	if found < 15 {
		t.Errorf("the guides name %d metrics; the search is broken", found)
	}
}
