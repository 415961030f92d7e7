package tidy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// source is one Go file of the module. Immutable once read.
type source struct {
	path  string // from the module's root, with slashes
	lines int
	file  *ast.File
	fset  *token.FileSet
}

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }
func (s *source) dir() string  { return filepath.ToSlash(filepath.Dir(s.path)) }
func (s *source) name() string { return filepath.Base(s.path) }

func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

// at names a place for a message.
func (s *source) at(p token.Pos) string {
	return s.path + ":" + strconv.Itoa(s.line(p))
}

// root returns the module's directory: the one above that has a go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = filepath.Dir(dir)
	}
}

// tree reads the module's files once for all tests.
var tree = struct {
	once    sync.Once
	sources []*source
	err     error
}{}

// sources returns every Go file of the module that people write, sorted.
func sources(t *testing.T) []*source {
	t.Helper()
	dir := root(t)
	tree.once.Do(func() { tree.sources, tree.err = readTree(dir) })
	if tree.err != nil {
		t.Fatal(tree.err)
	}
	return tree.sources
}

func readTree(dir string) ([]*source, error) {
	var out []*source
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if e.IsDir() && path != dir && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "data") {
			return fs.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), string(text))
		if err == nil && !ast.IsGenerated(s.file) {
			out = append(out, s)
		}
		return err
	})
	slices.SortFunc(out, func(a, b *source) int { return strings.Compare(a.path, b.path) })
	return out, err
}

func parse(path, text string) (*source, error) {
	s := &source{path: path, lines: strings.Count(text, "\n"), fset: token.NewFileSet()}
	var err error
	s.file, err = parser.ParseFile(s.fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	return s, err
}

// snippet parses a small file for the tests of the rules themselves.
func snippet(t *testing.T, path, text string) *source {
	t.Helper()
	s, err := parse(path, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
