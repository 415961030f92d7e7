package conformance

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sections has the highest number of each section of a standard, taken from the
// standard and not from the list. Numbers begin at 1, except where first says.
var sections = map[string]string{
	"3.1.1": `1.5.3-3 2.2.2-2 2.3.1-7 3.1.0-2 3.1.2-24 3.1.3-11 3.1.4-5 3.2.0-1 3.2.2-6
		3.3.1-12 3.3.2-3 3.3.4-1 3.3.5-2 3.6.1-1 3.8.1-1 3.8.3-4 3.8.4-6 3.9.3-2 3.10.1-1 3.10.3-2
		3.10.4-6 3.12.4-1 3.14.1-1 3.14.4-3 4.1.0-2 4.3.1-1 4.3.2-2 4.3.3-2 4.4.0-1 4.5.0-2 4.6.0-6
		4.7.1-3 4.7.2-1 4.7.3-4 4.8.0-2 6.0.0-4 7.0.0-2 7.1.1-2 7.1.2-2`,
	"5": `1.5.4-3 1.5.5-1 1.5.7-1 2.1.3-1 2.2.1-6 2.2.2-1 3.1.0-2 3.1.2-30 3.1.3-12 3.1.4-6
		3.2.0-2 3.2.2-22 3.3.1-13 3.3.2-20 3.3.4-10 3.4.2-3 3.5.2-3 3.6.1-1 3.6.2-3 3.7.2-3 3.8.1-1
		3.8.3-5 3.8.4-8 3.9.2-2 3.9.3-2 3.10.1-1 3.10.3-2 3.10.4-6 3.11.2-2 3.11.3-2 3.12.4-1
		3.14.0-1 3.14.1-1 3.14.2-4 3.14.4-3 3.15.1-1 3.15.2-3 4.1.0-2 4.2-1 4.3.1-1 4.3.2-5 4.3.3-13
		4.4.0-2 4.5.0-2 4.6.0-6 4.7.0-1 4.7.1-2 4.7.2-1 4.7.3-4 4.8.2-6 4.9.0-3 4.12.0-7 4.12.1-2
		4.13.1-1 4.13.2-1 6.0.0-4`,
}

// first holds the sections whose numbers begin later: MQTT 5 has no 2.2.1-1.
var first = map[string]int{"5/2.2.1": 2}

// TestNumbers holds the list to the numbers of the standards, in order.
func TestNumbers(t *testing.T) {
	totals := map[string]int{"3.1.1": 143, "5": 251}
	for _, s := range Standards() {
		var want []string
		for _, last := range strings.Fields(sections[s.Name]) {
			section, high, _ := strings.Cut(last, "-")
			n := 0
			if _, err := fmt.Sscan(high, &n); err != nil {
				t.Fatal(err)
			}
			for i := max(first[s.Name+"/"+section], 1); i <= n; i++ {
				want = append(want, fmt.Sprintf("%s-%d", section, i))
			}
		}
		if len(want) != totals[s.Name] || len(s.Rules) != len(want) {
			t.Errorf("MQTT %s has %d statements; the sections hold %d, the list %d", s.Name, totals[s.Name], len(want), len(s.Rules))
		}
		for i := range min(len(want), len(s.Rules)) {
			if got := s.Rules[i].Number; got != want[i] {
				t.Fatalf("MQTT %s: entry %d is %s, not %s", s.Name, i+1, got, want[i])
			}
		}
	}
}

// TestRules holds each entry to the tree: its function exists, its test exists
// and carries the number.
func TestRules(t *testing.T) {
	functions, proofs := readTree(t)
	for _, s := range Standards() {
		for _, r := range s.Rules {
			id := s.Name + "/" + r.Number
			switch {
			case r.Says == "" || !strings.HasSuffix(r.Says, "."):
				t.Errorf("%s says nothing, or not in a sentence", id)
			case (r.Code == "") == (r.Why == ""):
				t.Errorf("%s needs either a function or a reason", id)
			case r.Code != "" && !functions[r.Code]:
				t.Errorf("%s: there is no function %s", id, r.Code)
			case r.Code != "" && r.Test == "":
				t.Errorf("%s: no test shows it", id)
			}
			if r.Test == "" {
				continue
			}
			if text, ok := proofs[r.Test]; !ok {
				t.Errorf("%s: there is no test %s", id, r.Test)
			} else if !carries(text, id) {
				t.Errorf("%s: test %s does not carry the number", id, r.Test)
			}
		}
	}
}

// TestCarried holds the tests to the list: a number that a test carries is one
// of the standard's.
func TestCarried(t *testing.T) {
	known := map[string]bool{}
	for _, s := range Standards() {
		for _, r := range s.Rules {
			known[s.Name+"/"+r.Number] = true
		}
	}
	_, proofs := readTree(t)
	for name, text := range proofs {
		for _, id := range numbers.FindAllString(text, -1) {
			if !known[strings.TrimLeft(id, " \"(")] {
				t.Errorf("%s carries %s, which no standard has", name, id)
			}
		}
	}
	if carries("rules 5/3.1.2-22.", "5/3.1.2-2") || !carries("rules 5/3.1.2-22.", "5/3.1.2-22") {
		t.Error("numbers are taken apart wrongly")
	}
}

var numbers = regexp.MustCompile(`(^|[ "(])(5|3\.1\.1)/[0-9]+\.[0-9]+(\.[0-9]+)?-[0-9]+`)

func carries(text, id string) bool {
	for _, found := range numbers.FindAllString(text, -1) {
		if strings.TrimLeft(found, " \"(") == id {
			return true
		}
	}
	return false
}

// readTree returns the functions of the packages that obey the standards, and
// the texts of the tests and scripts that may show it, by name.
func readTree(t *testing.T) (functions map[string]bool, proofs map[string]string) {
	t.Helper()
	functions, proofs = map[string]bool{}, map[string]string{}
	root := filepath.Join("..", "..")
	for _, dir := range []string{"mqtt", "queue", "internal/conn"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch {
			case strings.HasSuffix(path, ".go"):
				readGo(t, path, functions, proofs)
			case strings.HasSuffix(path, ".txt") && filepath.Base(filepath.Dir(path)) == "testdata":
				pkg := filepath.Base(filepath.Dir(filepath.Dir(path)))
				proofs[pkg+"/"+strings.TrimSuffix(filepath.Base(path), ".txt")] = readText(t, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return functions, proofs
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readGo enters the functions of one file, or its tests: comment, body, and the
// tables of the file that the body names.
func readGo(t *testing.T, path string, functions map[string]bool, proofs map[string]string) {
	t.Helper()
	text := readText(t, path)
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	span := func(n ast.Node) string { return text[set.Position(n.Pos()).Offset:set.Position(n.End()).Offset] }
	tables := map[string]string{}
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, s := range g.Specs {
				tables[s.(*ast.ValueSpec).Names[0].Name] = span(s)
			}
		}
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if !strings.HasSuffix(path, "_test.go") {
			functions[file.Name.Name+"."+receiver(f)+f.Name.Name] = true
			continue
		}
		if !strings.HasPrefix(f.Name.Name, "Test") {
			continue
		}
		proof := span(f)
		if f.Doc != nil {
			proof += span(f.Doc)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				proof += tables[name.Name]
			}
			return true
		})
		proofs[file.Name.Name+"."+f.Name.Name] = proof
	}
}

// receiver is the type of a method with a dot behind it.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	e := f.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.Ident:
			return x.Name + "."
		default:
			return "?."
		}
	}
}
