package queue

import (
	"errors"

	"tombolo/internal/kv"
	"tombolo/internal/metric"
)

func isNotFound(err error) bool { return errors.Is(err, kv.ErrNotFound) }

// counts are the metrics of a store. Immutable once registered.
type counts struct {
	events, acks, commits, committedBytes, cursors *metric.Counter
	reads, readEntries, blocked, damaged           *metric.Counter
	segmentsFreed, bodiesMoved                     *metric.Counter
	exported, imported, leftOut, idsForgotten      *metric.Counter
	commitSeconds                                  *metric.Histogram
}

func (c *counts) register(r *metric.Registry, s *Store) {
	counter := func(name, help string) *metric.Counter {
		return r.Counter(metric.Opts{Name: name, Help: help})
	}
	c.events = counter("store_events_total", "Messages that were handed to the message store.")
	c.acks = counter("store_acknowledged_total", "Messages that one queue needs no more.")
	c.commits = counter("store_commits_total", "Group commits.")
	c.committedBytes = counter("store_committed_bytes_total", "Bytes that were committed.")
	c.cursors = counter("store_cursors_total", "Cursors that were written.")
	c.reads = counter("store_reads_total", "Reads of a part of a backlog.")
	c.readEntries = counter("store_read_messages_total", "Messages that were read from backlogs.")
	c.blocked = counter("store_append_blocked_total", "Messages whose publisher had to wait because too much waited to be committed.")
	c.damaged = counter("store_damaged_total", "Records that could not be read.")
	c.segmentsFreed = counter("store_segments_freed_total", "Segments of shared bodies that were freed.")
	c.bodiesMoved = counter("store_bodies_moved_total", "Records whose shared body was moved out of a sparse segment.")
	c.exported = counter("store_exported_total", "Messages that were deleted because another node has them.")
	c.imported = counter("store_imported_total", "Messages that came from another node.")
	c.leftOut = counter("store_left_out_total", "Messages that came from another node and were here already.")
	c.idsForgotten = counter("store_moving_ids_forgotten_total", "Ids of messages of a moving session that were not remembered: a second copy would be delivered.")
	c.commitSeconds = r.Histogram(metric.Opts{Name: "store_commit_seconds", Help: "How long a group commit took."},
		[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1})
	r.GaugeFunc(metric.Opts{Name: "store_pending_bytes", Help: "What was handed in and is not committed."},
		func() float64 { return float64(s.Stats().BytesPending) })
	r.GaugeFunc(metric.Opts{Name: "store_failed", Help: "1 while the message store is read-only after a failed write."},
		func() float64 {
			if s.Err() != nil {
				return 1
			}
			return 0
		})
}

// StoreStats is what the store holds in memory, and what it did.
type StoreStats struct {
	Queues       int // open ones
	Segments     int // known ones
	BytesPending int
	Commits      uint64
	Events       uint64
	Acks         uint64
	Damaged      uint64
	Sweeping     int // dropped queues whose records are being deleted
	DB           kv.Stats
}

// Stats returns the numbers of the store.
func (s *Store) Stats() StoreStats {
	s.mu.Lock()
	st := StoreStats{
		Queues: len(s.mu.names), Segments: len(s.mu.segments), BytesPending: s.mu.pending,
		Commits: s.mu.batches, Sweeping: len(s.mu.lanes) - len(s.mu.names),
	}
	s.mu.Unlock()
	st.Events, st.Acks, st.Damaged = s.counts.events.Value(), s.counts.acks.Value(), s.counts.damaged.Value()
	st.DB = s.db.Stats()
	return st
}
