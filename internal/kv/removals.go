package kv

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// removals removes tables and journals behind goleveldb's back, which would remove
// all that a compaction has replaced at once, some five milliseconds each, and a
// journal in ten, while whoever reads or writes waits. What a crash leaves of them is removed at the next opening.
// Guarded by mu.
type removals struct {
	s  *levelStorage
	mu struct {
		sync.Mutex
		ended   sync.Cond // with a file, or with the last
		waiting []storage.FileDesc
		doing   storage.FileDesc
		running bool // a goroutine is there
		closing bool
	}
}

func newRemovals(s *levelStorage) *removals {
	r := &removals{s: s}
	r.mu.ended.L = &r.mu.Mutex
	return r
}

// add has a file removed soon. The goroutine that does it lives as long as there is
// something to do.
func (r *removals) add(fd storage.FileDesc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.waiting = append(r.mu.waiting, fd)
	if !r.mu.running {
		r.mu.running = true
		go r.run()
	}
}

func (r *removals) run() {
	for seen := uint64(0); ; {
		fd, ok := r.next()
		if !ok {
			return
		}
		began := time.Now()
		if err := r.s.removeNow(fd); err != nil {
			r.s.Log(fmt.Sprintf("remove %s: %v", fileName(fd), err))
		}
		if r.removed() && r.s.pace.yields(&seen) {
			r.s.pace.rest(time.Since(began))
		}
	}
}

func (r *removals) next() (fd storage.FileDesc, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mu.waiting) == 0 {
		r.mu.running = false
		r.mu.ended.Broadcast()
		return fd, false
	}
	fd = r.mu.waiting[0]
	r.mu.waiting = r.mu.waiting[1:]
	r.mu.doing = fd
	return fd, true
}

// removed ends one removal, and says whether there is time for a rest.
func (r *removals) removed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.doing = storage.FileDesc{}
	r.mu.ended.Broadcast()
	return !r.mu.closing
}

// keep returns when a file is not going to be removed any more: goleveldb uses its
// number again.
func (r *removals) keep(fd storage.FileDesc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.mu.waiting, fd); i >= 0 {
		r.mu.waiting = slices.Delete(r.mu.waiting, i, i+1)
	}
	for r.mu.doing == fd {
		r.mu.ended.Wait()
	}
}

// close returns when all are removed.
func (r *removals) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.closing = true
	for r.mu.running {
		r.mu.ended.Wait()
	}
}
