package spool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"tombolo/internal/kv"
	"tombolo/internal/link"
)

// The bounds of what is written anew.
const (
	smallBytes  = 8 << 10  // a chunk below it is merged with its neighbours,
	runCountMax = 32       // once so many follow each other,
	runBytesMax = 32 << 10 // or so much
	runBreakMin = 4        // or so many before one that is not small
	doomedMax   = 64       // chunks that wait for their delete
	pinnedMin   = 4 << 20  // removed and still on disk, before sparse chunks are written anew
	sparseMax   = 64       // of them in one go
)

// tail is the messages for one node. Guarded by mu, which is held over its
// commits.
//
// Invariants, checked by check:
//
//	(1) chunks are in order of their places and none is empty
//	(2) count and bytes are the sums over chunks
//	(3) run holds the values of the last chunks, and of no others
type tail struct {
	s  *Spool
	to link.NodeID
	// What size tells, so that nobody waits for a disk to hear it.
	count atomic.Uint64
	bytes atomic.Int64
	mu    struct {
		sync.Mutex
		chunks []chunk
		next   uint64 // place
		count  uint64
		bytes  int64
		pinned int64    // of messages that were removed, in chunks that are there
		run    [][]byte // values of the last chunks, which are small
		doomed []uint64 // first places of chunks to delete
	}
}

func newTail(s *Spool, to link.NodeID) *tail {
	t := &tail{s: s, to: to}
	t.mu.next = 1
	return t
}

func (t *tail) size() (count uint64, bytes int64) { return t.count.Load(), t.bytes.Load() }

func (t *tail) tellLocked() {
	t.count.Store(t.mu.count)
	t.bytes.Store(t.mu.bytes)
}

// end is the place of the next message.
func (t *tail) end() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.next
}

// find is the index of the first chunk that reaches place.
func (t *tail) findLocked(place uint64) int {
	i, _ := slices.BinarySearchFunc(t.mu.chunks, place, func(c chunk, place uint64) int { return cmp.Compare(c.last, place) })
	return i
}

// change is what one commit does. Owned by it.
type change struct {
	batch kv.Batch
	from  int     // chunks from here on are replaced
	put   []chunk // by these
	run   [][]byte
}

func (t *tail) append(list []link.Spooled) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	need := int64(0)
	for i := range list {
		need += cost(&list[i])
	}
	if t.mu.bytes+need > t.s.config.BytesMax {
		return link.ErrSpoolFull
	}
	for i := range list {
		list[i].Place = t.mu.next + uint64(i)
	}
	c := &change{from: len(t.mu.chunks), run: t.mu.run}
	for rest := list; len(rest) > 0; {
		n := chunkOf(rest)
		if err := t.addLocked(c, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if err := t.commitLocked(c); err != nil {
		return err
	}
	t.mu.next += uint64(len(list))
	return nil
}

// chunkOf is how many of list make the next chunk.
func chunkOf(list []link.Spooled) int {
	n, size := 0, 0
	for n < len(list) && n < chunkCountMax && (n == 0 || size+len(list[n].Body) <= chunkBytesMax) {
		size += len(list[n].Body)
		n++
	}
	return n
}

// addLocked puts one chunk's messages into c, merged with the small chunks before
// it where there are enough of them.
func (t *tail) addLocked(c *change, list []link.Spooled) error {
	entry := describe(list[0].Place, list)
	small, size := entry.bytes < smallBytes, 0
	for _, v := range c.run {
		size += len(v)
	}
	full := len(c.run)+1 >= runCountMax || size >= runBytesMax
	if small && full {
		return t.foldLocked(c, list)
	}
	if !small && len(c.run) >= runBreakMin {
		if err := t.foldLocked(c, nil); err != nil {
			return err
		}
	}
	value := appendChunk(nil, entry.first, list)
	c.batch.Put(chunkKey(areaChunk, t.to, entry.first), value)
	c.put = append(c.put, entry)
	c.run = append(slices.Clip(c.run), value)
	if !small {
		c.run = nil
	}
	return nil
}

// foldLocked writes the run and list as one chunk, without what was removed.
func (t *tail) foldLocked(c *change, list []link.Spooled) error {
	chunks := append(slices.Clone(t.mu.chunks[:c.from]), c.put...)
	at := len(chunks) - len(c.run)
	var all []link.Spooled
	for i, v := range c.run {
		part, err := readChunk(v, chunks[at+i].first)
		if err != nil {
			return fmt.Errorf("BUG: what was written to the spool cannot be read: %w", err)
		}
		all = appendLive(all, part, &chunks[at+i])
	}
	all = append(all, list...)
	first := chunks[at].first
	if all[len(all)-1].Place-first >= spanMax {
		c.run = nil // too much was removed between: they stay as they are
		if list == nil {
			return nil
		}
		return t.addLocked(c, list)
	}
	for _, old := range chunks[at+1:] {
		c.batch.Delete(chunkKey(areaChunk, t.to, old.first))
	}
	value, entry := appendChunk(nil, first, all), describe(first, all)
	c.batch.Put(chunkKey(areaChunk, t.to, first), value)
	if at < c.from {
		c.from, c.put = at, nil
	} else {
		c.put = c.put[:at-c.from]
	}
	c.put = append(c.put, entry)
	c.run = nil
	if entry.bytes < smallBytes {
		c.run = [][]byte{value}
	}
	return nil
}

// appendLive appends what of a chunk's list was not removed.
func appendLive(dst, list []link.Spooled, c *chunk) []link.Spooled {
	for i := range list {
		if c.has(list[i].Place) {
			dst = append(dst, list[i])
		}
	}
	return dst
}

// commitLocked writes c with the deletes that wait, and makes it true.
func (t *tail) commitLocked(c *change) error {
	for _, first := range t.mu.doomed {
		c.batch.Delete(chunkKey(areaChunk, t.to, first))
	}
	if err := t.s.db.Write(&c.batch, true); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	t.mu.doomed = t.mu.doomed[:0]
	for i := range t.mu.chunks[c.from:] {
		old := &t.mu.chunks[c.from+i]
		t.mu.count -= uint64(old.live)
		t.mu.bytes -= old.liveBytes()
		t.mu.pinned -= pinned(old)
	}
	for i := range c.put {
		t.mu.count += uint64(c.put[i].live)
		t.mu.bytes += c.put[i].liveBytes()
	}
	t.mu.chunks = append(t.mu.chunks[:c.from], c.put...)
	t.mu.run = c.run
	t.tellLocked()
	return nil
}

// pinned is what the removed messages of a chunk take that are still on disk.
func pinned(c *chunk) int64 { return c.bytes - c.liveBytes() }

func (t *tail) read(after uint64, countMax, bytesMax int) (out []link.Spooled, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	size := 0
	for i := t.findLocked(after + 1); i < len(t.mu.chunks); i++ {
		list, err := t.valueLocked(i)
		if err != nil {
			return nil, err
		}
		if list == nil {
			i-- // it was set aside
			continue
		}
		for _, m := range appendLive(nil, list, &t.mu.chunks[i]) {
			if m.Place <= after {
				continue
			}
			if len(out) > 0 && (len(out) >= countMax || size+len(m.Body) > bytesMax) {
				return out, nil
			}
			out, size = append(out, m), size+len(m.Body)
		}
	}
	return out, nil
}

// valueLocked reads the messages of chunk i, removed ones included. One that
// cannot be read is taken out, and list is nil.
func (t *tail) valueLocked(i int) (list []link.Spooled, err error) {
	c := &t.mu.chunks[i]
	value, err := t.s.db.Get(chunkKey(areaChunk, t.to, c.first))
	switch {
	case errors.Is(err, kv.ErrNotFound), errors.Is(err, kv.ErrCorrupted):
	case err != nil:
		return nil, fmt.Errorf("spool: %w", err)
	default:
		if list, err = readChunk(value, c.first); err == nil {
			return list, nil
		}
	}
	t.s.counters.damaged.Inc()
	t.s.config.Damaged(fmt.Sprintf("%d messages for node %v cannot be read: %v", c.live, t.to, err))
	first := c.first
	t.dropLocked(i)
	t.tellLocked()
	if value == nil {
		return nil, nil // the database sets the file aside when it is opened again
	}
	var b kv.Batch
	b.Put(chunkKey(areaDamaged, t.to, first), value)
	b.Delete(chunkKey(areaChunk, t.to, first))
	return nil, t.s.db.Write(&b, true)
}

// dropLocked takes chunk i out of the index.
func (t *tail) dropLocked(i int) {
	c := &t.mu.chunks[i]
	t.mu.count -= uint64(c.live)
	t.mu.bytes -= c.liveBytes()
	t.mu.pinned -= pinned(c)
	t.unrunLocked(i)
	t.mu.chunks = slices.Delete(t.mu.chunks, i, i+1)
}

// unrunLocked takes chunk i out of the run, if it is in it.
func (t *tail) unrunLocked(i int) {
	if at := i - (len(t.mu.chunks) - len(t.mu.run)); at >= 0 {
		t.mu.run = slices.Delete(slices.Clone(t.mu.run), at, at+1)
	}
}

func (t *tail) remove(places []uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, place := range places {
		i := t.findLocked(place)
		if i == len(t.mu.chunks) {
			continue
		}
		c := &t.mu.chunks[i]
		before := c.liveBytes()
		if !c.remove(place) {
			continue
		}
		t.mu.count--
		t.mu.bytes += c.liveBytes() - before
		t.mu.pinned += before - c.liveBytes()
		if c.live == 0 {
			t.s.freed.Add(c.bytes)
			t.mu.doomed = append(t.mu.doomed, c.first)
			t.dropLocked(i)
		}
	}
	t.tellLocked()
	c := &change{from: len(t.mu.chunks), run: t.mu.run}
	if t.mu.pinned > max(pinnedMin, t.mu.bytes/2) {
		if err := t.thinLocked(c, func(c *chunk) bool { return 2*c.live < c.count }, sparseMax); err != nil {
			return err
		}
	}
	if c.batch.Len() == 0 && len(t.mu.doomed) < doomedMax && t.mu.count > 0 || c.batch.Len()+len(t.mu.doomed) == 0 {
		return nil
	}
	return t.commitLocked(c)
}

// thinLocked writes chunks anew without what was removed. What it does to the
// index holds even if the write is lost.
func (t *tail) thinLocked(c *change, which func(*chunk) bool, countMax int) error {
	for i := 0; i < len(t.mu.chunks) && countMax > 0; i++ {
		e := &t.mu.chunks[i]
		if !which(e) {
			continue
		}
		countMax--
		list, err := t.valueLocked(i)
		if err != nil {
			return err
		}
		if list == nil {
			i--
			c.from, c.run = len(t.mu.chunks), t.mu.run
			continue
		}
		t.unrunToLocked(i)
		c.run = t.mu.run
		live := appendLive(nil, list, e)
		c.batch.Put(chunkKey(areaChunk, t.to, e.first), appendChunk(nil, e.first, live))
		before, was := e.liveBytes(), pinned(e)
		t.s.freed.Add(was)
		*e = describe(e.first, live)
		t.mu.bytes += e.liveBytes() - before
		t.mu.pinned -= was
	}
	return nil
}

// unrunToLocked ends the run behind chunk i, whose value changes.
func (t *tail) unrunToLocked(i int) {
	if at := i - (len(t.mu.chunks) - len(t.mu.run)); at >= 0 {
		t.mu.run = t.mu.run[at+1:]
	}
}

// close writes down what was removed.
func (t *tail) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		c := &change{from: len(t.mu.chunks), run: t.mu.run}
		if err := t.thinLocked(c, func(c *chunk) bool { return c.live < c.count }, sparseMax); err != nil {
			return err
		}
		if c.batch.Len()+len(t.mu.doomed) == 0 {
			return nil
		}
		if err := t.commitLocked(c); err != nil {
			return err
		}
	}
}

// checkLocked names the first broken invariant; "" if all hold.
func (t *tail) checkLocked() string {
	var count uint64
	var bytes, idle int64
	last := uint64(0)
	for i := range t.mu.chunks {
		c := &t.mu.chunks[i]
		if what := c.check(); what != "" {
			return "chunk: " + what
		}
		if c.first <= last || c.live == 0 {
			return "(1) chunks out of order or empty"
		}
		last = c.last
		count, bytes, idle = count+uint64(c.live), bytes+c.liveBytes(), idle+pinned(c)
	}
	switch {
	case count != t.mu.count || bytes != t.mu.bytes || idle != t.mu.pinned:
		return fmt.Sprintf("(2) sums: %d, %d, %d are told as %d, %d, %d", count, bytes, idle, t.mu.count, t.mu.bytes, t.mu.pinned)
	case len(t.mu.run) > len(t.mu.chunks):
		return "(3) the run is longer than the tail"
	case last >= t.mu.next:
		return "the next place is taken"
	}
	for i, v := range t.mu.run {
		if _, err := readChunk(v, t.mu.chunks[len(t.mu.chunks)-len(t.mu.run)+i].first); err != nil {
			return "(3) " + err.Error()
		}
	}
	return ""
}
