package storepage

import (
	"fmt"

	"tombolo/internal/kv"
	"tombolo/metadata"
	"tombolo/metadata/replica"
)

// The names of the databases, which are their directories too.
const (
	NameMetadata = "metadata"
	NameMessages = "messages"
)

// Page is what inspect prints. Immutable once filled.
type Page struct {
	Node        uint64    `json:"node"`
	Actor       string    `json:"actor"`
	CleanStop   bool      `json:"clean_stop"`
	JoinOwed    bool      `json:"join_owed"`
	Clock       string    `json:"clock"`
	Digest      string    `json:"digest"`
	Horizon     string    `json:"collection_horizon"`
	Live        int64     `json:"live_keys"`
	Garbage     int64     `json:"pending_deletes"`
	Residual    int64     `json:"residual_contexts"`
	Lasting     int64     `json:"lasting_contexts"` // keys whose context names writes that are lost
	Index       int64     `json:"index_entries"`
	Quarantined int64     `json:"quarantined"`
	Members     []Member  `json:"members"`
	Retired     int       `json:"retired_actors"`
	Areas       []Area    `json:"areas"`
	Metadata    *Database `json:"metadata"`
	Messages    *Database `json:"messages,omitempty"`
}

// Member is what the store knows of a member. A value.
type Member struct {
	ID     uint64 `json:"id"`
	Absent bool   `json:"absent"`
	Actor  string `json:"actor"`
	Seen   string `json:"seen"`
}

// Area is the keys that begin with one byte: docs/formats/metadata.md. A value.
type Area struct {
	Name  string `json:"name"`
	Keys  int64  `json:"keys"`
	Bytes int64  `json:"bytes"`
}

// Database is a database as it lies on the disk. A value.
type Database struct {
	Bytes   int64    `json:"bytes"`
	Tables  int      `json:"tables"`
	Suspect []string `json:"suspect"`
}

var areas = []struct {
	prefix byte
	name   string
}{
	{replica.AreaObject, "objects"}, {'i', "dot index"}, {'g', "pending deletes"}, {'r', "residual contexts"}, {'l', "lasting contexts"},
	{'q', "quarantine"}, {'m', "own records"},
}

// Look tells how a database lies on the disk.
func Look(db kv.DB) *Database {
	s := db.Stats()
	return &Database{Bytes: s.TableBytes, Tables: s.TableCount, Suspect: append([]string{}, db.Suspect()...)}
}

// Metadata looks into the database of the metadata. It reads every key.
func Metadata(db kv.DB) (*Page, error) {
	snapshot, err := db.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snapshot.Release()
	in, err := replica.Inspect(snapshot)
	if err != nil {
		return nil, err
	}
	page := &Page{
		Node: in.Node, Actor: in.Actor.String(), CleanStop: in.Clean, JoinOwed: in.JoinOwed, Clock: in.Clock.String(),
		Digest: fmt.Sprintf("%016x", in.Digest), Horizon: in.Collected.String(), Live: in.Live, Garbage: in.Garbage,
		Residual: in.Residual, Lasting: in.Lasting, Index: in.Index, Quarantined: in.Quarantined, Retired: len(in.Retired), Members: []Member{},
	}
	for _, m := range in.Members {
		page.Members = append(page.Members, Member{ID: m.ID, Absent: m.Absent, Actor: m.Actor.String(), Seen: m.Row.String()})
	}
	for _, a := range areas {
		area, err := measureArea(snapshot, a.prefix)
		if err != nil {
			return nil, err
		}
		area.Name = a.name
		page.Areas = append(page.Areas, area)
	}
	page.Metadata = Look(db)
	return page, nil
}

// measureArea counts what is there instead of asking for approximate sizes,
// which leave out what still lies in the journal.
func measureArea(s kv.Snapshot, prefix byte) (a Area, err error) {
	it := s.Iterator(kv.PrefixRange([]byte{prefix}))
	defer it.Close()
	for it.Next() {
		a.Keys++
		a.Bytes += int64(len(it.Key()) + len(it.Value()))
	}
	return a, it.Err()
}

// Verify reads the metadata and computes index, counts and digest anew. Each
// fault is one line.
func Verify(db kv.DB) (faults []string, err error) {
	for _, reason := range db.Suspect() {
		faults = append(faults, NameMetadata+": suspect: "+reason)
	}
	snapshot, err := db.Snapshot()
	if err != nil {
		return faults, err
	}
	defer snapshot.Release()
	found, err := replica.Verify(snapshot, metadata.Policy())
	for _, fault := range found {
		faults = append(faults, NameMetadata+": "+fault)
	}
	return faults, err
}
