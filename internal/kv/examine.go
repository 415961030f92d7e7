package kv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"

	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/table"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// examination is what the files of a database look like before goleveldb
// touches them: it deletes what it takes for garbage, so damage must be known
// first. Owned by examine until it returns.
type examination struct {
	disk  Disk
	sizes map[string]int64 // every file of the database

	fresh    bool // no database, or one whose creation was cut short
	clean    bool // it was closed, and nothing has changed since
	rebuild  bool // the manifest cannot be trusted, or a table of it cannot be read
	tornTail bool // of the last journal
	trim     int  // length of the good part of a torn manifest; -1: not torn
	manifest string

	faults []fault
	state  *manifestState // nil if the manifest cannot be trusted
}

// fault is one thing that no ordinary crash explains.
type fault struct {
	file   string // "" if it is missing
	what   string // a sentence
	remove bool   // the file is of no use: move it aside instead of copying it
}

func (x *examination) fault(file string, remove bool, format string, args ...any) {
	x.faults = append(x.faults, fault{file, fmt.Sprintf(format, args...), remove})
}

// damaged lists the faults as sentences.
func (x *examination) damaged() []string {
	var out []string
	for _, f := range x.faults {
		out = append(out, f.what)
	}
	return out
}

// examine reads the files of a database; only errors of the disk fail it.
func examine(d Disk, everyBlock bool) (*examination, error) {
	x := &examination{disk: d, sizes: map[string]int64{}, trim: -1}
	if err := x.list(); err != nil {
		return nil, err
	}
	if len(x.sizes) == 0 {
		x.fresh = true
		return x, nil
	}
	for _, step := range []func() error{x.checkClean, x.checkManifest, x.checkTables, x.checkJournals} {
		if err := step(); err != nil || x.fresh {
			return x, err
		}
	}
	if everyBlock {
		return x, x.readTables()
	}
	return x, nil
}

func (x *examination) list() error {
	names, err := x.disk.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ours := parseName(name); !ours && name != currentName {
			continue
		}
		f, err := x.disk.Open(name)
		if err != nil {
			return err
		}
		size, err := f.Size()
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		x.sizes[name] = size
	}
	return nil
}

// numbers is the numbers of the files of one type, ascending.
func (x *examination) numbers(t storage.FileType) []int64 {
	var out []int64
	for name := range x.sizes {
		if fd, ok := parseName(name); ok && fd.Type == t {
			out = append(out, fd.Num)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// checkManifest follows CURRENT and adds up the manifest.
func (x *examination) checkManifest() error {
	data, err := readFile(x.disk, currentName)
	if errors.Is(err, fs.ErrNotExist) {
		if len(x.numbers(storage.TypeTable))+len(x.numbers(storage.TypeJournal)) == 0 {
			x.fresh = true // creation was cut short before anything could be written
			return nil
		}
		x.rebuild = true
		x.fault("", false, "%s is missing", currentName)
		return nil
	}
	if err != nil {
		return err
	}
	fd, ok := parseCurrent(data)
	if x.rebuild {
		return nil // it is known to be cut
	}
	if !ok {
		x.rebuild = true
		x.fault(currentName, true, "%s holds %q instead of the name of a manifest", currentName, clip(data))
		return nil
	}
	x.manifest = fileName(fd)
	if data, err = readFile(x.disk, x.manifest); errors.Is(err, fs.ErrNotExist) {
		x.rebuild = true
		x.fault("", false, "%s is missing", x.manifest)
		return nil
	}
	if err != nil {
		return err
	}
	scan := scanRecords(data)
	state, err := readManifest(scan.records)
	switch {
	case len(scan.damage) > 0:
		x.distrust("%s is damaged %s", x.manifest, scan.damage[0])
	case err != nil:
		x.distrust("%s is damaged: %v", x.manifest, err)
	case !state.complete:
		x.distrust("%s is cut short: it lacks its first record", x.manifest)
	default:
		x.state = state
		if scan.torn {
			x.trim = scan.goodEnd
		}
	}
	return nil
}

func (x *examination) distrust(format string, args ...any) {
	x.rebuild = true
	x.fault(x.manifest, true, format, args...)
}

func clip(b []byte) []byte { return b[:min(len(b), 40)] }

// checkTables holds the sizes of the tables against the manifest.
func (x *examination) checkTables() error {
	if x.state == nil {
		return nil
	}
	nums := make([]int64, 0, len(x.state.tables))
	for num := range x.state.tables {
		nums = append(nums, num)
	}
	sort.Slice(nums, func(i, j int) bool { return nums[i] < nums[j] })
	for _, num := range nums {
		name, size := x.tableName(num)
		switch want := x.state.tables[num]; {
		case name == "":
			x.rebuild = true
			x.fault("", false, "table %06d.ldb is missing", num)
		case size != want:
			x.rebuild = true
			x.fault(name, false, "table %s has %d bytes instead of %d", name, size, want)
		}
	}
	return nil
}

func (x *examination) tableName(num int64) (string, int64) {
	for _, name := range []string{fmt.Sprintf("%06d.ldb", num), fmt.Sprintf("%06d.sst", num)} {
		if size, ok := x.sizes[name]; ok {
			return name, size
		}
	}
	return "", 0
}

// checkJournals reads the journals that are not in tables yet, and follows
// the sequence numbers through them: what is missing between two leaves a gap.
func (x *examination) checkJournals() error {
	var from int64
	var next uint64 // the sequence number that must come; 0: any
	if x.state != nil {
		from, next = x.state.journal, x.state.sequence+1
	}
	var nums []int64
	for _, num := range x.numbers(storage.TypeJournal) {
		if num >= from {
			nums = append(nums, num)
		}
	}
	missing := from > 0 && (len(nums) == 0 || nums[0] != from)
	if missing && (len(nums) == 0 || x.strayTable(from)) {
		x.journalMissing(from)
	}
	for _, num := range nums {
		gap, err := x.checkJournal(num, &next)
		if err != nil {
			return err
		}
		if gap && missing {
			x.journalMissing(from)
		}
	}
	return nil
}

// journalMissing is told by a gap. That the manifest names a journal that is
// not there is ordinary in itself: one that was never written to is removed
// without a new manifest record. With a gap either the journal is lost, or the
// end of the manifest is: then tables are in force that it does not know.
func (x *examination) journalMissing(num int64) {
	x.rebuild = true
	x.fault("", false, "journal %06d.log is missing, or the end of %s is", num, x.manifest)
}

// strayTable finds a table that the manifest does not name and that is newer
// than a journal.
func (x *examination) strayTable(journal int64) bool {
	for _, num := range x.numbers(storage.TypeTable) {
		if _, inForce := x.state.tables[num]; !inForce && num > journal {
			return true
		}
	}
	return false
}

// checkJournal reads one journal and moves next, the sequence number that
// must come, behind it.
func (x *examination) checkJournal(num int64, next *uint64) (gap bool, err error) {
	name := fmt.Sprintf("%06d.log", num)
	data, err := readFile(x.disk, name)
	if err != nil {
		return false, err
	}
	scan := scanRecords(data)
	switch {
	case len(scan.damage) > 0:
		x.fault(name, false, "journal %s is damaged %s", name, scan.damage[0])
		*next = 0
		return false, nil
	case scan.torn:
		// An ordinary end, also where a younger journal follows: power may have
		// gone while the last opening recovered it. If writes were lost, the
		// younger one begins behind a gap.
		x.tornTail = true
	}
	what, after := followSequence(scan.records, *next)
	if *next = after; what != "" {
		x.fault(name, false, "journal %s: %s", name, what)
	}
	return what != "", nil
}

// followSequence walks the sequence numbers of the records of one journal
// from the one that must come, 0 for any.
func followSequence(records [][]byte, next uint64) (gap string, after uint64) {
	for _, rec := range records {
		first, count, ok := batchHeader(rec)
		if !ok {
			return "a record is too short for a batch", 0
		}
		// Lower ones are in a table already: goleveldb passes over them.
		if next != 0 && first > next {
			return fmt.Sprintf("%d changes are missing before number %d", first-next, first), 0
		}
		next = max(next, first+uint64(count))
	}
	return "", next
}

// readTables reads every block of every table in force.
func (x *examination) readTables() error {
	for _, num := range x.numbers(storage.TypeTable) {
		if x.state != nil {
			if want, inForce := x.state.tables[num]; !inForce || x.sizes[fmt.Sprintf("%06d.ldb", num)] != want {
				continue // garbage, or known to be damaged
			}
		}
		name, size := x.tableName(num)
		reason, err := readTable(x.disk, name, size)
		if err != nil {
			return err
		}
		if reason != "" {
			x.rebuild = true
			x.fault(name, false, "table %s is damaged: %s", name, reason)
		}
	}
	return nil
}

// readTable walks all keys of a table and checks every block's checksum.
func readTable(d Disk, name string, size int64) (reason string, err error) {
	f, err := d.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fd, _ := parseName(name)
	r, err := table.NewReader(readerOnly{f}, size, fd, nil, util.NewBufferPool(8<<10), &opt.Options{Strict: opt.StrictAll})
	if err != nil {
		return "", err
	}
	defer r.Release()
	it := r.NewIterator(nil, nil)
	defer it.Release()
	for it.Next() {
		if len(it.Key()) < 8 {
			return "a key is too short", nil
		}
	}
	if err := it.Error(); isCorrupted(err) {
		return err.Error(), nil
	} else if err != nil {
		return "", err
	}
	return "", nil
}

// readerOnly hides Close: a table reader closes what it can, and so do we.
type readerOnly struct{ io.ReaderAt }
