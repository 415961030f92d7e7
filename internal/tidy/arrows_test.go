package tidy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path that every import of ours begins with.
const module = "tombolo/"

// ground is what everything may stand on.
const ground = "internal/invariant internal/clock internal/kv internal/pack internal/wire internal/metric "

// arrows says for each package, or for all below a path that ends in "/...",
// which packages of ours it may import, beside those of its own tree. A
// package that matches several entries obeys the longest. "*" is everything
// but commands and benchmarks. Packages of one tier do not import each other:
// internal/node connects them.
var arrows = map[string]string{
	"internal/invariant": "",
	"internal/clock":     "internal/invariant",
	"internal/wire":      "internal/invariant internal/pack",
	"internal/metric":    "internal/invariant",
	"internal/pack":      "internal/invariant",
	"internal/kv/...":    "internal/invariant internal/clock",

	"dvv":              "internal/invariant internal/wire",
	"metadata/...":     ground + "dvv",
	"netsplit/...":     ground + "dvv",
	"queue/...":        ground,
	"mqtt/packet":      "internal/invariant",
	"mqtt/topic":       "internal/invariant",
	"mqtt/session":     "internal/invariant mqtt/packet mqtt/topic queue netsplit",
	"mqtt/broker":      ground + "dvv metadata netsplit queue internal/conn mqtt/packet mqtt/topic mqtt/session",
	"mqtt/conformance": "", // its tests start a node and speak to it

	"internal/conn":        ground,
	"internal/option":      ground,
	"internal/auth":        ground,
	"internal/log":         ground,
	"internal/admin":       ground,
	"internal/link":        ground,
	"internal/member":      ground + "metadata",
	"internal/spool":       ground + "internal/link",
	"internal/storepage":   "internal/kv metadata",
	"internal/handover":    ground + "metadata queue mqtt/packet mqtt/topic mqtt/session internal/link internal/spool",
	"internal/systemd":     "",
	"internal/goldentest":  "",
	"internal/certificate": "",
	"internal/freeport":    "",
	"internal/doctor":      "",
	"internal/tidy":        "",
	"internal/registrar":   ground + "metadata netsplit",

	"internal/cluster": ground + "metadata netsplit queue mqtt/broker internal/link internal/member internal/registrar internal/spool",

	"internal/client":   "mqtt/packet mqtt/topic",
	"internal/lab/...":  "internal/admin internal/client internal/invariant internal/clock mqtt/packet mqtt/topic",
	"internal/node/...": "*",
	"internal/e2e":      "*", // its tests start the built binary and load it with bench
	"internal/sim/...":  "*",
	"bench/...":         "internal/certificate internal/freeport internal/client mqtt/packet mqtt/topic",
	"cmd/...":           "* bench/...",
}

// pkg is what go list tells of a package. A value.
type pkg struct {
	ImportPath string
	Imports    []string
}

// listPackages asks the go command, which knows build constraints and tests.
func listPackages(t *testing.T) []pkg {
	t.Helper()
	c := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./...")
	c.Dir = root(t)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// covers tells whether an entry of the table stands for a path.
func covers(entry, path string) bool {
	if tree, ok := strings.CutSuffix(entry, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	if entry == "*" {
		return !covers("cmd/...", path) && !covers("bench/...", path)
	}
	return entry == path
}

// ruleFor returns the longest entry that covers path.
func ruleFor(path string) (entry, allowed string, ok bool) {
	for e, a := range arrows {
		if covers(e, path) && len(e) > len(entry) {
			entry, allowed, ok = e, a, true
		}
	}
	return entry, allowed, ok
}

// wrongArrows lists what a package may not import.
func wrongArrows(p pkg) []string {
	path := strings.TrimPrefix(p.ImportPath, module)
	entry, allowed, ok := ruleFor(path)
	if !ok {
		return []string{path + " has no line in the table of arrows: decide what it may import (internal/tidy/arrows_test.go)"}
	}
	var out []string
	for _, imported := range p.Imports {
		to, ours := strings.CutPrefix(imported, module)
		if !ours || strings.HasSuffix(entry, "/...") && covers(entry, to) || strings.HasPrefix(to, path+"/") {
			continue
		}
		may := func(e string) bool { return covers(e, to) || covers(e+"/...", to) }
		if !slices.ContainsFunc(strings.Fields(allowed), may) {
			out = append(out, path+" imports "+to+"; it may import only: "+allowed+"(declare the interface you need and let internal/node connect it)")
		}
	}
	return out
}

func TestImportArrows(t *testing.T) {
	list := listPackages(t)
	if len(list) < 10 {
		t.Fatalf("go list found %d packages only", len(list))
	}
	for _, p := range list {
		for _, wrong := range wrongArrows(p) {
			t.Error(wrong)
		}
	}
}

func TestWrongArrowsAreSeen(t *testing.T) {
	for _, c := range []struct {
		path, imports string
		wrong         int
	}{
		{"dvv", "fmt tombolo/internal/invariant", 0},
		{"dvv", "tombolo/metadata", 1},
		{"metadata", "tombolo/metadata/replica tombolo/dvv", 0},
		{"metadata/replica", "tombolo/netsplit tombolo/queue", 2},
		{"internal/kv/kvtest", "tombolo/internal/kv", 0},
		{"internal/log", "tombolo/mqtt/packet", 1},
		{"internal/node", "tombolo/mqtt/broker tombolo/bench/load", 1},
		{"bench/load", "tombolo/internal/node", 1},
		{"cmd/tombolo", "tombolo/bench/load tombolo/internal/node", 0},
		{"brandnew", "", 1},
	} {
		got := wrongArrows(pkg{ImportPath: module + c.path, Imports: strings.Fields(c.imports)})
		if len(got) != c.wrong {
			t.Errorf("%s importing %s: %d complaints, want %d: %v", c.path, c.imports, len(got), c.wrong, got)
		}
	}
}
