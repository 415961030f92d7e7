package tidy

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

const (
	fileLinesMax     = 500
	functionLinesMax = 70
)

// functionName is how the ratchet list names a function: path:Type.Method.
func functionName(s *source, f *ast.FuncDecl) string {
	name := f.Name.Name
	if f.Recv != nil && len(f.Recv.List) == 1 {
		name = receiver(f.Recv.List[0].Type) + "." + name
	}
	return s.path + ":" + name
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

// functionLines counts the lines of a function as a reader meets them: a
// dispatch switch is one line however many arms it has, and so is a table in
// a test.
func functionLines(s *source, f *ast.FuncDecl) int {
	lines := s.line(f.End()) - s.line(f.Pos()) + 1
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil {
			return false
		}
		if !isDispatch(n) && !isTable(n) {
			return true
		}
		lines -= s.line(n.End()) - s.line(n.Pos())
		return false
	})
	return lines
}

// isDispatch tells whether a node is a switch or select whose arms are one
// statement of one call each.
func isDispatch(n ast.Node) bool {
	var body *ast.BlockStmt
	switch n := n.(type) {
	case *ast.SwitchStmt:
		body = n.Body
	case *ast.TypeSwitchStmt:
		body = n.Body
	case *ast.SelectStmt:
		body = n.Body
	default:
		return false
	}
	for _, arm := range body.List {
		var list []ast.Stmt
		switch arm := arm.(type) {
		case *ast.CaseClause:
			list = arm.Body
		case *ast.CommClause:
			list = arm.Body
		}
		if len(list) > 1 || len(list) == 1 && !isSimple(list[0]) {
			return false
		}
	}
	return true
}

func isSimple(s ast.Stmt) bool {
	switch s.(type) {
	case *ast.ExprStmt, *ast.AssignStmt, *ast.ReturnStmt, *ast.BranchStmt, *ast.SendStmt, *ast.IncDecStmt, *ast.GoStmt:
		return true
	}
	return false
}

// isTable tells whether a node is a literal of a slice, an array or a map.
func isTable(n ast.Node) bool {
	l, ok := n.(*ast.CompositeLit)
	if !ok {
		return false
	}
	switch l.Type.(type) {
	case *ast.ArrayType, *ast.MapType:
		return true
	}
	return false
}

// oversized lists what of a file is too long, by the name the ratchet uses.
func oversized(s *source) map[string]int {
	out := map[string]int{}
	if s.lines > fileLinesMax {
		out[s.path] = s.lines
	}
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			if n := functionLines(s, f); n > functionLinesMax {
				out[functionName(s, f)] = n
			}
		}
	}
	return out
}

func TestSizes(t *testing.T) {
	found := map[string]int{}
	for _, s := range sources(t) {
		for name, lines := range oversized(s) {
			found[name] = lines
			if known, ok := oversizedOnce[name]; !ok {
				t.Errorf("%s has %d lines (a file may have %d, a function %d): cut it where its subject changes", name, lines, fileLinesMax, functionLinesMax)
			} else if lines > known {
				t.Errorf("%s grew from %d to %d lines: it is an old exception and may only shrink", name, known, lines)
			}
		}
	}
	for name := range oversizedOnce {
		if found[name] == 0 {
			t.Errorf("%s is no exception any more: take it off the list in ratchet_test.go", name)
		}
	}
}

func TestOversizedIsSeen(t *testing.T) {
	body := func(line string, n int) string {
		return "package x\n\nfunc (t *T[K]) f() {\n" + strings.Repeat(line, n) + "}\n"
	}
	arms := ""
	for i := range 80 {
		arms += fmt.Sprintf("\tcase %d:\n\t\tg()\n", i)
	}
	for name, c := range map[string]struct {
		path, text string
		want       string
	}{
		"a full function":    {"x/a.go", body("\tg()\n", 68), ""},
		"one line too many":  {"x/a.go", body("\tg()\n", 69), "x/a.go:T.f"},
		"a dispatch":         {"x/a.go", body("\tswitch x {\n"+arms+"\t}\n", 1), ""},
		"a fat switch":       {"x/a.go", body("\tswitch x {\n"+arms+"\tdefault:\n\t\tg()\n\t\tg()\n\t}\n", 1), "x/a.go:T.f"},
		"a table in a test":  {"x/a_test.go", body("\tv := []int{\n"+strings.Repeat("\t\t1,\n", 90)+"\t}\n\tg(v)\n", 1), ""},
		"a table in code":    {"x/a.go", body("\tv := []int{\n"+strings.Repeat("\t\t1,\n", 90)+"\t}\n\tg(v)\n", 1), ""},
		"a long literal":     {"x/a.go", body("\tv := one{\n"+strings.Repeat("\t\ta: 1,\n", 90)+"\t}\n\tg(v)\n", 1), "x/a.go:T.f"},
		"a full file":        {"x/a.go", "package x\n" + strings.Repeat("\n", 499), ""},
		"a file and a line":  {"x/a.go", "package x\n" + strings.Repeat("\n", 500), "x/a.go"},
		"many small ones":    {"x/a.go", "package x\n" + strings.Repeat("func f() {}\n", 90), ""},
		"a literal function": {"x/a.go", "package x\n\nvar v = map[int]int{\n" + strings.Repeat("\t1: 1,\n", 200) + "}\n", ""},
	} {
		got := oversized(snippet(t, c.path, c.text))
		if c.want == "" && len(got) > 0 || c.want != "" && got[c.want] == 0 {
			t.Errorf("%s: %v, want %q", name, got, c.want)
		}
	}
}
