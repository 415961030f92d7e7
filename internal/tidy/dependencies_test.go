package tidy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// directModules reads which modules a go.mod requires without "// indirect",
// and which it names as tools.
func directModules(mod string) (required, tools []string) {
	block := ""
	for _, line := range strings.Split(mod, "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case f[0] == ")":
			block = ""
		case len(f) == 2 && f[1] == "(":
			block = f[0]
		default:
			if block != "" {
				f = append([]string{block}, f...)
			}
			if f[0] == "require" && len(f) >= 3 && !strings.Contains(line, "// indirect") {
				required = append(required, f[1])
			}
			if f[0] == "tool" && len(f) >= 2 {
				tools = append(tools, f[1])
			}
		}
	}
	return required, tools
}

// allowedModules reads the table of DEPENDENCIES.md: module and reason.
func allowedModules(page string) map[string]string {
	out := map[string]string{}
	for _, line := range strings.Split(page, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		name, ok := strings.CutPrefix(strings.TrimSpace(cells[1]), "`")
		if name, closed := strings.CutSuffix(name, "`"); ok && closed {
			out[name] = strings.TrimSpace(cells[len(cells)-2])
		}
	}
	return out
}

// wrongModules compares go.mod with the page.
func wrongModules(mod, page string) []string {
	var out []string
	required, tools := directModules(mod)
	allowed := allowedModules(page)
	for _, m := range append(required, tools...) {
		if reason, ok := allowed[m]; !ok {
			out = append(out, m+" is not in DEPENDENCIES.md: a new dependency is a decision, so write its reason there, or do without")
		} else if reason == "" {
			out = append(out, m+" has no reason in DEPENDENCIES.md")
		}
	}
	for m := range allowed {
		if !slices.Contains(required, m) && !slices.Contains(tools, m) {
			out = append(out, m+" is in DEPENDENCIES.md and not required by go.mod: take its line out")
		}
	}
	slices.Sort(out)
	return out
}

func TestDependencies(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, wrong := range wrongModules(read("go.mod"), read("DEPENDENCIES.md")) {
		t.Error(wrong)
	}
}

func TestWrongModulesAreSeen(t *testing.T) {
	const mod = "module x\n\nrequire a.b/one v1.0.0\n\nrequire (\n\ta.b/two v1.0.0\n\ta.b/three v1.0.0 // indirect\n)\n\ntool a.b/t\n"
	const page = "| module | what for |\n|---|---|\n| `a.b/one` | reason |\n"
	for more, wrong := range map[string]int{
		"| `a.b/two` | reason |\n| `a.b/t` | reason |\n":                         0,
		"| `a.b/two` | reason |\n":                                               1,
		"| `a.b/two` |  |\n| `a.b/t` | reason |\n":                               1,
		"| `a.b/two` | r |\n| `a.b/t` | r |\n| `a.b/three` | r |\n| `c` | r |\n": 2,
	} {
		if got := wrongModules(mod, page+more); len(got) != wrong {
			t.Errorf("%d complaints, want %d: %v", len(got), wrong, got)
		}
	}
}
