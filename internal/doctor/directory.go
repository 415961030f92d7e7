package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// directory is what a look at the data directory gave. A value.
type directory struct {
	path     string
	err      error // of looking at it
	exists   bool
	isDir    bool
	mode     fs.FileMode
	owner    int
	asUser   int
	writable error // nil: a file could be made in it, or in its parent if it does not exist
}

func (d directory) usable() bool { return d.exists && d.isDir && d.err == nil && d.writable == nil }

func lookAtDirectory(path string) directory {
	d := directory{path: path, asUser: os.Geteuid()}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.writable = probeWrite(nearestParent(path))
		return d
	case err != nil:
		d.err = err
		return d
	}
	d.exists, d.isDir, d.mode, d.owner = true, info.IsDir(), info.Mode().Perm(), ownerOf(info)
	if d.isDir {
		d.writable = probeWrite(path)
	}
	return d
}

// nearestParent returns the closest directory above path that exists.
func nearestParent(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "."
	}
	for {
		abs = filepath.Dir(abs)
		if _, err := os.Stat(abs); err == nil || abs == filepath.Dir(abs) {
			return abs
		}
	}
}

func probeWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func judgeDirectory(d directory) Finding {
	f := Finding{Check: "data directory", State: Well}
	own := fmt.Sprintf("chown it to the user that runs the broker (this check ran as user id %d), or choose another data_dir", d.asUser)
	switch {
	case d.err != nil:
		f.State, f.Found, f.Remedy = Fault, d.err.Error(), own
	case !d.exists && d.writable != nil:
		f.State, f.Found = Fault, fmt.Sprintf("%s does not exist and cannot be made: %v", d.path, d.writable)
		f.Remedy = "make it and " + own
	case !d.exists:
		f.Found = d.path + " does not exist yet; the broker will make it"
	case !d.isDir:
		f.State, f.Found, f.Remedy = Fault, d.path+" is not a directory", "choose another data_dir"
	case d.writable != nil:
		f.State, f.Found, f.Remedy = Fault, fmt.Sprintf("%s is not writable: %v", d.path, d.writable), own
	case d.mode&0o007 != 0:
		f.State, f.Found = Warning, fmt.Sprintf("%s has mode %o: every user of the machine can look into it", d.path, d.mode)
		f.Remedy = "chmod 750 " + d.path
	default:
		f.Found = fmt.Sprintf("%s, mode %o", d.path, d.mode)
	}
	return f
}

// filesMax bounds how many files of the data directory are looked at.
const filesMax = 100_000

// files is what a walk through the data directory gave. A value.
type files struct {
	seen     int
	strange  string // the first that belongs to somebody else
	owner    int
	readable string // the first that everybody can read
	err      error
}

// walkFiles asks of each file whether it belongs to the user that will run the
// broker. As root that is the owner of the directory: a broker that was once
// started by root leaves files that its own user cannot open.
func walkFiles(ctx context.Context, dir string) files {
	var w files
	want := os.Geteuid()
	if info, err := os.Stat(dir); err == nil && want == 0 {
		want = ownerOf(info)
	}
	w.owner = want
	w.err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if w.seen++; w.seen > filesMax {
			return fs.SkipAll
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a running broker deletes files
		}
		if err != nil {
			return err
		}
		if w.strange == "" && ownerOf(info) != want {
			w.strange = path
		}
		if w.readable == "" && info.Mode().IsRegular() && info.Mode()&0o004 != 0 && closedAbove(dir, path) {
			w.readable = path
		}
		return ctx.Err()
	})
	return w
}

// closedAbove is false where the data directory itself keeps others out: then
// the modes of what is in it do not matter.
func closedAbove(dir, path string) bool {
	info, err := os.Stat(dir)
	return err != nil || path == dir || info.Mode()&0o001 != 0
}

func judgeFiles(w files) Finding {
	f := Finding{Check: "data files", State: Well, Found: fmt.Sprintf("%d looked at", w.seen)}
	switch {
	case w.strange != "":
		f.State, f.Found = Fault, fmt.Sprintf("%s does not belong to user id %d", w.strange, w.owner)
		f.Remedy = "stop the broker and chown -R the data directory to the user that runs it"
	case w.err != nil:
		f.State, f.Found, f.Remedy = Unknown, w.err.Error(), "run the check as the user that runs the broker"
	case w.readable != "":
		f.State, f.Found = Warning, w.readable+" can be read by every user of the machine"
		f.Remedy = "chmod -R o= the data directory"
	}
	return f
}
