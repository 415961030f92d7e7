package kv

import (
	"fmt"
	"strings"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// repairer sets aside what is damaged and makes the rest openable. Owned by
// the opening that made it.
type repairer struct {
	x      *examination
	disk   Disk
	folder string // damaged-<time>
	report *Report
}

func newRepairer(x *examination, report *Report) *repairer {
	return &repairer{x: x, disk: x.disk, report: report,
		folder: "damaged-" + time.Now().UTC().Format("20060102T150405.000000000Z")}
}

// run leaves a directory that goleveldb opens, or rebuilds from its tables if
// the examination says so. It is safe to repeat after a crash at any step: the
// reasons are on disk before the first file moves.
func (r *repairer) run() error {
	x := r.x
	for _, f := range x.faults {
		if f.file == "" {
			continue
		}
		aside := r.copyAside
		if f.remove {
			aside = r.moveAside
		}
		if err := aside(f.file); err != nil {
			return err
		}
		if fd, _ := parseName(f.file); fd.Type == storage.TypeTable {
			if err := r.salvage(f.file); err != nil {
				return err
			}
		}
	}
	if x.fresh {
		// The creation was cut short: nothing of it holds data.
		return r.moveAll(storage.TypeManifest | storage.TypeTemp)
	}
	if x.rebuild {
		return r.clearForRebuild()
	}
	if x.trim >= 0 {
		return r.trimManifest()
	}
	return nil
}

func (r *repairer) salvage(name string) error {
	n, err := salvageTable(r.disk, name, r.x.sizes[name])
	if err != nil {
		return fmt.Errorf("salvage %s: %w", name, err)
	}
	r.report.Dropped = append(r.report.Dropped, fmt.Sprintf("%d entries of %s could still be read", n, name))
	if n == 0 {
		delete(r.x.sizes, name)
	}
	return nil
}

// clearForRebuild leaves only what goleveldb shall rebuild from. Tables that
// a trusted manifest does not name are garbage that could bring back
// deleted keys.
func (r *repairer) clearForRebuild() error {
	if r.x.state != nil && r.x.trusted() {
		for _, num := range r.x.numbers(storage.TypeTable) {
			if _, inForce := r.x.state.tables[num]; inForce {
				continue
			}
			name, _ := r.x.tableName(num)
			if err := r.moveAside(name); err != nil {
				return err
			}
		}
	}
	return r.moveAll(storage.TypeManifest | storage.TypeTemp)
}

// trusted says that only tables are at fault: the manifest knows them all.
func (x *examination) trusted() bool {
	for _, f := range x.faults {
		if !strings.HasPrefix(f.what, "table ") {
			return false
		}
	}
	return true
}

func (r *repairer) moveAll(types storage.FileType) error {
	for _, t := range []storage.FileType{storage.TypeManifest, storage.TypeTemp} {
		if types&t == 0 {
			continue
		}
		for _, num := range r.x.numbers(t) {
			if err := r.moveAside(fileName(storage.FileDesc{Type: t, Num: num})); err != nil {
				return err
			}
		}
	}
	return r.disk.SyncDir()
}

// trimManifest cuts half a record off the end. goleveldb would take the
// fields of that half for facts: the number of a new journal without the
// table that the old one became.
func (r *repairer) trimManifest() error {
	data, err := readFile(r.disk, r.x.manifest)
	if err != nil {
		return err
	}
	return writeFile(r.disk, r.x.manifest, data[:r.x.trim])
}

func (r *repairer) moveAside(name string) error {
	if _, there := r.x.sizes[name]; !there {
		return nil
	}
	to := r.folder + "/" + name
	if err := r.disk.Rename(name, to); err != nil {
		return fmt.Errorf("set %s aside: %w", name, err)
	}
	delete(r.x.sizes, name)
	r.report.SetAside = append(r.report.SetAside, r.disk.Name()+"/"+to)
	return nil
}

// copyAside keeps the file in place: what can be read of it is still used.
func (r *repairer) copyAside(name string) error {
	data, err := readFile(r.disk, name)
	if err != nil {
		return err
	}
	to := r.folder + "/" + name
	if err := createFile(r.disk, to, data); err != nil {
		return fmt.Errorf("set a copy of %s aside: %w", name, err)
	}
	r.report.SetAside = append(r.report.SetAside, r.disk.Name()+"/"+to)
	return nil
}

// patchedDisk shows one file with other bytes, for those who may not write.
// Immutable once built.
type patchedDisk struct {
	Disk
	name string
	data []byte
}

func (p patchedDisk) Open(name string) (DiskReader, error) {
	if name == p.name {
		return byteFile{strings.NewReader(string(p.data))}, nil
	}
	return p.Disk.Open(name)
}

type byteFile struct{ *strings.Reader }

func (b byteFile) Size() (int64, error) { return b.Reader.Size(), nil }
func (byteFile) Close() error           { return nil }
