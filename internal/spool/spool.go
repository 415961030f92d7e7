package spool

import (
	"errors"

	"tombolo/internal/kv"
	"tombolo/internal/link"
	"tombolo/internal/metric"
)

// Config is what a spool is told. Zero sizes take the defaults.
type Config struct {
	BytesMax     int64            // of each node's tail (spool_limit): one message more is refused with link.ErrSpoolFull; 0: 1 GiB
	MemoryBudget int64            // of the database; 0: 16 MiB
	Sync         kv.SyncPolicy    // the node's durability
	Metrics      *metric.Registry // nil: nobody looks
}

// Spool is the tails of all nodes. Safe for use from any goroutine.
type Spool struct{ db kv.DB }

var _ link.Spool = (*Spool)(nil)

var errNotYet = errors.New("spool: not there yet")

// Open opens the spool in dir and makes it where there is none.
func Open(dir string, c Config) (*Spool, *kv.Report, error) { return nil, nil, errNotYet }

// Close ends the spool.
func (s *Spool) Close() error { return s.db.Close() }

// Durable implements link.Spool: true unless Config.Sync is kv.SyncNever.
func (s *Spool) Durable() bool { return true }

// Append implements link.Spool.
func (s *Spool) Append(to link.NodeID, list []link.Spooled) error { return errNotYet }

// Read implements link.Spool.
func (s *Spool) Read(to link.NodeID, after uint64, countMax, bytesMax int) ([]link.Spooled, error) {
	return nil, errNotYet
}

// Remove implements link.Spool.
func (s *Spool) Remove(to link.NodeID, places []uint64) error { return errNotYet }

// Count implements link.Spool.
func (s *Spool) Count(to link.NodeID) uint64 { return 0 }

// Nodes is the nodes for which it has messages, ascending.
func (s *Spool) Nodes() []link.NodeID { return nil }

// Each calls fn for the messages for a node in order until fn returns false. The
// body is valid during the call.
func (s *Spool) Each(to link.NodeID, fn func(m link.Spooled) bool) error { return errNotYet }

// Scan calls fn for the messages for a node that are there when it begins, in
// order, and removes those for which it returns false: who sends a message to
// another node, under its own id, returns false once that one has it or a copy
// for that one is in the spool (R11). The body is valid during the call.
func (s *Spool) Scan(to link.NodeID, fn func(m link.Spooled) (keep bool)) error { return errNotYet }
