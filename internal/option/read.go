package option

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what is read; beyond them is a fault.
const (
	fileBytesMax    = 1 << 20
	includeDepthMax = 8
	filesMax        = 256
)

// reader follows includes and collects assignments in order. Owned by Load.
type reader struct {
	files  int
	open   []string // the chain of files being read, to notice a circle
	out    []Assignment
	faults []Fault
}

func (r *reader) fault(origin Origin, format string, args ...any) {
	r.faults = append(r.faults, Fault{Origin: origin, Text: fmt.Sprintf(format, args...)})
}

// file reads one file; from is where it was named.
func (r *reader) file(path string, from Origin) {
	if slices.Contains(r.open, path) {
		r.fault(from, "include of %s goes round in a circle", path)
		return
	}
	if len(r.open) > includeDepthMax {
		r.fault(from, "includes are nested deeper than %d", includeDepthMax)
		return
	}
	if r.files++; r.files > filesMax {
		if r.files == filesMax+1 {
			r.fault(from, "more than %d files are included", filesMax)
		}
		return
	}
	text, err := readSmall(path)
	if err != nil {
		r.fault(from, "cannot read the configuration file %s: %v", path, reason(err))
		return
	}
	statements, errs := parse(text)
	for _, e := range errs {
		r.fault(Origin{Kind: FromFile, Name: path, Line: e.line}, "%s", e.text)
	}
	r.open = append(r.open, path)
	defer func() { r.open = r.open[:len(r.open)-1] }()
	for _, st := range statements {
		origin := Origin{Kind: FromFile, Name: path, Line: st.line}
		if st.include != "" {
			r.include(st.include, origin)
			continue
		}
		r.out = append(r.out, Assignment{Key: st.key, Value: st.value, Origin: origin, quoted: st.quoted, substitute: !st.quoted})
	}
}

// include resolves a path or glob against the directory of the including
// file. Only the file name may be a pattern.
func (r *reader) include(pattern string, from Origin) {
	path := relativeTo(from.Name, pattern)
	dir, name := filepath.Split(path)
	if strings.ContainsAny(dir, "*?[") {
		r.fault(from, "include %s: only the file name may be a pattern, not the directory", pattern)
		return
	}
	if !strings.ContainsAny(name, "*?[") {
		r.file(path, from)
		return
	}
	if _, err := filepath.Match(name, ""); err != nil {
		r.fault(from, "include %s is not a pattern: %v", pattern, err)
		return
	}
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil {
		r.fault(from, "include %s: %v", pattern, reason(err))
		return
	}
	for _, e := range entries { // sorted by name
		if ok, _ := filepath.Match(name, e.Name()); ok && !e.IsDir() {
			r.file(filepath.Join(dir, e.Name()), from)
		}
	}
}

// relativeTo resolves path against the directory of the file that names it.
func relativeTo(file, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(file), path)
}

// readSmall reads a regular file up to fileBytesMax.
func readSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // opened for reading only: nothing can be lost
	if st, err := f.Stat(); err != nil {
		return "", err
	} else if st.IsDir() {
		return "", errors.New("it is a directory")
	}
	b, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	if err != nil {
		return "", err
	}
	if len(b) > fileBytesMax {
		return "", fmt.Errorf("it is larger than %s", formatBytes(fileBytesMax))
	}
	return string(b), nil
}

// reason takes the path out of an error that is printed beside the path.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
