package tidy

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// core is a package whose code is stepped: time and chance arrive as
// arguments, effects leave as values. A value.
type core struct {
	dir   string
	shell []string // files of the package that are not core, with the reason beside them
}

var cores = []core{
	{dir: "dvv"},
	{dir: "metadata/replica"},
	{dir: "netsplit"},
	{dir: "queue", shell: []string{"store.go", "commit.go", "open.go", "lease.go"}}, // the Store is the shell with the disk
	{dir: "internal/member", shell: []string{"set.go", "loop.go", "finder.go", "gossip.go", "complain.go", "transport.go", "file.go", "table.go", "config.go", "refused.go"}},
	{dir: "mqtt/packet"},
	{dir: "mqtt/topic"},
	{dir: "mqtt/session"},
	{dir: "internal/registrar", shell: []string{"registrar.go"}}, // its goroutine and its ticker
}

// forbiddenPackages bring chance, the outside or a log into a core.
var forbiddenPackages = []string{"math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog", "os", "net", "net/http", "syscall"}

// forbiddenCalls read the clock or wait for it, or print.
var forbiddenCalls = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
	"fmt":  {"Print", "Printf", "Println"},
}

// importNames maps the name by which a file knows a package to its path.
func importNames(s *source) map[string]string {
	out := map[string]string{}
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		out[name] = p
	}
	return out
}

// uses calls f for each mention of a package's member, such as time.Now, be it
// called or handed on.
func uses(s *source, f func(e *ast.SelectorExpr, pkg, name string)) {
	names := importNames(s)
	ast.Inspect(s.file, func(n ast.Node) bool {
		e, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := e.X.(*ast.Ident); ok && names[x.Name] != "" {
			f(e, names[x.Name], e.Sel.Name)
		}
		return true
	})
}

// wrongInCore lists what a core's file must not do.
func wrongInCore(s *source) []string {
	var out []string
	for _, i := range s.file.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); slices.Contains(forbiddenPackages, p) {
			out = append(out, s.at(i.Pos())+": a core imports "+p+"; let the shell hand in what you need")
		}
	}
	uses(s, func(e *ast.SelectorExpr, pkg, name string) {
		if slices.Contains(forbiddenCalls[pkg], name) {
			out = append(out, s.at(e.Pos())+": a core uses "+pkg+"."+name+"; time arrives as an argument, output leaves as an effect")
		}
	})
	ast.Inspect(s.file, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			out = append(out, s.at(g.Pos())+": a core starts a goroutine; that is the shell's")
		}
		return true
	})
	return out
}

func TestCoresArePure(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		for _, c := range cores {
			if s.dir() != c.dir || s.isTest() {
				continue
			}
			seen[c.dir] = true
			if slices.Contains(c.shell, s.name()) {
				continue
			}
			for _, wrong := range wrongInCore(s) {
				t.Error(wrong)
			}
		}
	}
	for _, c := range cores {
		if !seen[c.dir] {
			t.Errorf("the core %s has no files: did it move? (internal/tidy/cores_test.go)", c.dir)
		}
	}
}

// TestNobodySleeps keeps tests from waiting for a time that a busy machine
// does not keep.
func TestNobodySleeps(t *testing.T) {
	for _, s := range sources(t) {
		if !s.isTest() && !strings.HasSuffix(s.dir(), "test") {
			continue
		}
		for _, wrong := range sleeps(s) {
			t.Error(wrong)
		}
	}
}

func sleeps(s *source) []string {
	var out []string
	uses(s, func(e *ast.SelectorExpr, pkg, name string) {
		if pkg == "time" && name == "Sleep" {
			out = append(out, s.at(e.Pos())+": a test sleeps; wait for what should happen, with a deadline, or use testing/synctest")
		}
	})
	return out
}

func TestImpureCodeIsSeen(t *testing.T) {
	const head = "package x\n\nimport (\n\t\"fmt\"\n\tclock \"time\"\n)\n\n"
	for code, wrong := range map[string]int{
		head + "func f(now clock.Time) string { return fmt.Sprint(now.Add(clock.Second)) }\n": 0,
		head + "var now = clock.Now\n":                                                               1,
		head + "func f() { clock.AfterFunc(1, func() { fmt.Println() }) }\n":                         2,
		head + "func f() { go f() }\n":                                                               1,
		"package x\n\nimport \"math/rand/v2\"\n\nvar x = rand.Int()\n":                               1,
		"package x\n\nimport _ \"log/slog\"\n":                                                       1,
		"package x\n\ntype s struct{ time interface{ Now() } }\n\nfunc (s s) f() { s.time.Now() }\n": 0,
	} {
		if got := wrongInCore(snippet(t, "x/a.go", code)); len(got) != wrong {
			t.Errorf("%d complaints, want %d: %v\n%s", len(got), wrong, got, code)
		}
	}
	if got := sleeps(snippet(t, "x/a_test.go", head+"func f() { clock.Sleep(1) }\n")); len(got) != 1 {
		t.Errorf("a sleep was not seen: %v", got)
	}
}
