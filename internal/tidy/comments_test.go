package tidy

import (
	"slices"
	"strings"
	"testing"
)

// docLinesMax is how long a package comment may be outside doc.go.
const docLinesMax = 15

// namesWithoutMeaning are no nouns that an operator could say.
var namesWithoutMeaning = []string{"util", "utils", "common", "helpers", "types", "base", "misc"}

// wrongComments checks the package comments of one directory's files.
func wrongComments(dir string, files []*source) []string {
	var out, with []string
	code := false
	for _, s := range files {
		if slices.Contains(namesWithoutMeaning, s.file.Name.Name) {
			out = append(out, s.path+": a package called "+s.file.Name.Name+" says nothing; name it for what it holds")
		}
		if s.isTest() {
			continue
		}
		code = true
		if s.file.Doc == nil || strings.HasPrefix(s.file.Doc.Text(), "go:build") {
			continue
		}
		with = append(with, s.name())
		lines := s.line(s.file.Doc.End()) - s.line(s.file.Doc.Pos()) + 1
		if lines > docLinesMax && s.name() != "doc.go" && !longCommentOnce[s.path] {
			out = append(out, s.path+": the package comment is long enough for doc.go")
		}
	}
	if code && len(with) != 1 {
		out = append(out, dir+": one file has the package comment, not "+strings.Join(append(with, "none")[:max(len(with), 1)], " and "))
	}
	return out
}

func TestPackageComments(t *testing.T) {
	byDir := map[string][]*source{}
	var dirs []string
	for _, s := range sources(t) {
		if byDir[s.dir()] == nil {
			dirs = append(dirs, s.dir())
		}
		byDir[s.dir()] = append(byDir[s.dir()], s)
	}
	for _, dir := range dirs {
		for _, wrong := range wrongComments(dir, byDir[dir]) {
			t.Error(wrong)
		}
	}
}

func TestWrongCommentsAreSeen(t *testing.T) {
	long := strings.Repeat("// More.\n", docLinesMax+1)
	for name, c := range map[string]struct {
		files map[string]string
		wrong int
	}{
		"one":          {map[string]string{"x/a.go": "// Package x is.\npackage x\n", "x/b.go": "package x\n"}, 0},
		"none":         {map[string]string{"x/a.go": "package x\n"}, 1},
		"two":          {map[string]string{"x/a.go": "// Package x is.\npackage x\n", "x/b.go": "// Package x is.\npackage x\n"}, 1},
		"long":         {map[string]string{"x/a.go": long + "package x\n"}, 1},
		"long, doc.go": {map[string]string{"x/doc.go": long + "package x\n"}, 0},
		"tests only":   {map[string]string{"x/a_test.go": "package x\n"}, 0},
		"meaningless":  {map[string]string{"util/a.go": "// Package util is.\npackage util\n"}, 1},
	} {
		var files []*source
		for path, text := range c.files {
			files = append(files, snippet(t, path, text))
		}
		if got := wrongComments("x", files); len(got) != c.wrong {
			t.Errorf("%s: %d complaints, want %d: %v", name, len(got), c.wrong, got)
		}
	}
}
