package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// Three small files stand beside those of the database.
const (
	// suspectName lists, one a line, why synced data may be lost.
	suspectName = "SUSPECT"
	// verifyName asks the next opening to read every block: damage was met.
	verifyName = "VERIFY"
	// cleanName lists the files and their sizes at an orderly close. It is
	// removed before the first change, so that it also tells a clean stop.
	cleanName = "CLEAN"
)

// readLines is the lines of a small file, none if it does not exist.
func readLines(d Disk, name string) ([]string, error) {
	data, err := readFile(d, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, line := range strings.Split(string(data), "\n") {
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func writeLines(d Disk, name string, lines []string) error {
	return writeFile(d, name, []byte(strings.Join(lines, "\n")+"\n"))
}

// removeIfThere removes a marker durably.
func removeIfThere(d Disk, name string) error {
	err := d.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.SyncDir()
}

// addReasons appends what is not there yet.
func addReasons(have, more []string) []string {
	for _, m := range more {
		m = strings.ReplaceAll(m, "\n", " ")
		if !slices.Contains(have, m) {
			have = append(have, m)
		}
	}
	return have
}

// markClean writes down what a closed database looks like.
func markClean(d Disk) error {
	x := &examination{disk: d, sizes: map[string]int64{}}
	if err := x.list(); err != nil {
		return err
	}
	var lines []string
	for name, size := range x.sizes {
		lines = append(lines, fmt.Sprintf("%s %d", name, size))
	}
	slices.Sort(lines)
	return writeLines(d, cleanName, lines)
}

// checkClean holds the files against the list of the last orderly close. It
// finds what looks like a crash but was none: a journal or manifest that was
// cut after the database had been closed. The tables have sizes in the manifest.
func (x *examination) checkClean() error {
	lines, err := readLines(x.disk, cleanName)
	if err != nil || len(lines) == 0 {
		return err
	}
	x.clean = true
	for _, line := range lines {
		var name string
		var want int64
		if n, _ := fmt.Sscanf(line, "%s %d", &name, &want); n != 2 {
			x.clean = false // half a list says nothing
			return nil
		}
		size, there := x.sizes[name]
		if there && size == want {
			continue
		}
		x.clean = false
		fd, _ := parseName(name)
		switch {
		case !there && fd.Type == storage.TypeJournal:
			x.fault("", false, "journal %s is missing since the database was closed", name)
		case fd.Type == storage.TypeJournal:
			x.fault(name, false, "journal %s has %d bytes and had %d when the database was closed", name, size, want)
		case there && fd.Type == storage.TypeManifest:
			x.manifest = name
			x.distrust("%s has %d bytes and had %d when the database was closed", name, size, want)
		}
	}
	return nil
}
