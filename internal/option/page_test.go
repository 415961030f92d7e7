package option

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"testing"
)

var update = flag.Bool("update", false, "write the generated pages and golden files anew")

// checkGolden compares got with a checked-in file, or writes it with -update.
func checkGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v\nmake it with: go test ./internal/option -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale; make it anew with: go test ./internal/option -run %s -update", path, t.Name())
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		from := max(0, i-60)
		t.Errorf("first difference at byte %d:\n got …%q\nwant …%q", i, got[from:min(len(got), i+60)], want[from:min(len(want), i+60)])
	}
}

func TestPagesAreFresh(t *testing.T) {
	checkGolden(t, "../../docs/reference/options.md", Reference())
	checkGolden(t, "../../deploy/tombolo.conf", Example())
}

var setting = regexp.MustCompile(`(?m)^# ([a-z])`)

// The example is a configuration: as it stands, and with every line switched
// on (then listeners want certificates that are not there).
func TestExampleLoads(t *testing.T) {
	for _, c := range []struct {
		name string
		text []byte
	}{{"as it stands", Example()}, {"all on", setting.ReplaceAll(Example(), []byte("$1"))}} {
		path := t.TempDir() + "/tombolo.conf"
		if c.name == "all on" {
			c.text = bytes.ReplaceAll(c.text, []byte("$(</etc/tombolo/cluster.key)"), []byte("MDEyMzQ1Njc4OTAxMjM0NQ=="))
			c.text = append(c.text, "listener.ssl.certfile = a\nlistener.ssl.keyfile = b\nlistener.wss.certfile = a\nlistener.wss.keyfile = b\n"...)
		}
		if err := os.WriteFile(path, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, faults := Load(Sources{Files: []string{path}})
		for _, f := range faults {
			t.Errorf("%s: %v", c.name, f)
		}
		if c.name == "all on" && (len(s.Listeners()) != 5 || !s.IsSet("log.level.queue")) {
			t.Errorf("%s: listeners %v", c.name, s.Listeners())
		}
	}
}
