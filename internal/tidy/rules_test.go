package tidy

import (
	"fmt"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// rulesMax is the last of the cluster's rules.
const rulesMax = 35

var (
	ruleInText = regexp.MustCompile(`\bR(\d+)(?:[–-]R?(\d+))?\b`)
	ruleInName = regexp.MustCompile(`^(?:Test|Fuzz)R(\d+)`)
	ruleRow    = regexp.MustCompile(`(?m)^\| R(\d+) \| .* \| (.*) \|$`)
	testNamed  = regexp.MustCompile("`(\\w+\\.(?:Test|Fuzz)\\w+)`")
)

// carried are the rules that a test carries in its name or its comment.
func carried(f *ast.FuncDecl) map[int]bool {
	out := map[int]bool{}
	add := func(first, last string) {
		a, _ := strconv.Atoi(first) // digits, by the expression
		b, err := strconv.Atoi(last)
		if err != nil {
			b = a
		}
		for n := a; n <= b && n <= rulesMax; n++ {
			out[n] = true
		}
	}
	if m := ruleInName.FindStringSubmatch(f.Name.Name); m != nil {
		add(m[1], "")
	}
	if f.Doc != nil {
		for _, m := range ruleInText.FindAllStringSubmatch(f.Doc.Text(), -1) {
			add(m[1], m[2])
		}
	}
	return out
}

// wrongRules checks the page of rules against the tests of the tree.
func wrongRules(page string, files []*source) []string {
	tests := map[string]map[int]bool{} // by package.Test
	for _, s := range files {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.isTest() && f.Recv == nil {
				name := path.Base(s.dir()) + "." + f.Name.Name
				if tests[name] == nil {
					tests[name] = map[int]bool{}
				}
				for n := range carried(f) {
					tests[name][n] = true
				}
			}
		}
	}
	var out []string
	shown := map[int]bool{}
	for _, row := range ruleRow.FindAllStringSubmatch(page, -1) {
		n, _ := strconv.Atoi(row[1]) // digits, by the expression
		for _, m := range testNamed.FindAllStringSubmatch(row[2], -1) {
			rules, there := tests[m[1]]
			switch {
			case !there:
				out = append(out, fmt.Sprintf("R%d: there is no %s", n, m[1]))
			case !rules[n]:
				out = append(out, fmt.Sprintf("R%d: %s does not carry its number", n, m[1]))
			default:
				shown[n] = true
			}
		}
	}
	for n := 1; n <= rulesMax; n++ {
		if !shown[n] {
			out = append(out, fmt.Sprintf("R%d: no test shows it", n))
		}
	}
	return out
}

// TestRules: each rule of the cluster has a test, and the page that lists them is
// right.
func TestRules(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range wrongRules(string(page), sources(t)) {
		t.Error("docs/rules.md: " + wrong)
	}
}

func TestWrongRulesAreSeen(t *testing.T) {
	file := snippet(t, "a/b/x_test.go", "package b\n// TestAll is R1–R34.\nfunc TestAll() {}\nfunc TestR35Named() {}\nfunc TestNone() {}\n")
	var rows strings.Builder
	for n := 1; n < rulesMax; n++ {
		fmt.Fprintf(&rows, "| R%d | it | `b.TestAll` |\n", n)
	}
	for name, c := range map[string]struct {
		last  string
		wrong int
	}{
		"right":    {"| R35 | it | `b.TestR35Named` |\n", 0},
		"no row":   {"", 1},
		"no test":  {"| R35 | it |  |\n", 1},
		"gone":     {"| R35 | it | `b.TestGone` |\n", 2},
		"another":  {"| R35 | it | `b.TestNone` |\n", 2},
		"one each": {"| R35 | it | `b.TestR35Named`, `b.TestNone` |\n", 1},
	} {
		if got := wrongRules(rows.String()+c.last, []*source{file}); len(got) != c.wrong {
			t.Errorf("%s: %d complaints, want %d: %v", name, len(got), c.wrong, got)
		}
	}
}
