package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"tombolo/internal/kv"
	"tombolo/metadata/replica"
)

// storePage is what inspect prints. Immutable once filled.
type storePage struct {
	Node        uint64         `json:"node"`
	Actor       string         `json:"actor"`
	CleanStop   bool           `json:"clean_stop"`
	JoinOwed    bool           `json:"join_owed"`
	Clock       string         `json:"clock"`
	Digest      string         `json:"digest"`
	Horizon     string         `json:"collection_horizon"`
	Live        int64          `json:"live_keys"`
	Garbage     int64          `json:"pending_deletes"`
	Residual    int64          `json:"residual_contexts"`
	Lasting     int64          `json:"lasting_contexts"` // keys whose context names writes that are lost
	Index       int64          `json:"index_entries"`
	Quarantined int64          `json:"quarantined"`
	Members     []storeMember  `json:"members"`
	Retired     int            `json:"retired_actors"`
	Areas       []storeArea    `json:"areas"`
	Metadata    *storeDatabase `json:"metadata"`
	Messages    *storeDatabase `json:"messages,omitempty"`
}

type storeMember struct {
	ID     uint64 `json:"id"`
	Absent bool   `json:"absent"`
	Actor  string `json:"actor"`
	Seen   string `json:"seen"`
}

// storeArea is the keys that begin with one byte: docs/formats/metadata.md.
type storeArea struct {
	Name  string `json:"name"`
	Keys  int64  `json:"keys"`
	Bytes int64  `json:"bytes"`
}

// storeDatabase is a database as it lies on the disk.
type storeDatabase struct {
	Bytes   int64    `json:"bytes"`
	Tables  int      `json:"tables"`
	Suspect []string `json:"suspect"`
}

var storeAreas = []struct {
	prefix byte
	name   string
}{
	{replica.AreaObject, "objects"}, {'i', "dot index"}, {'g', "pending deletes"}, {'r', "residual contexts"}, {'l', "lasting contexts"},
	{'q', "quarantine"}, {'m', "own records"},
}

func inspectDatabase(db kv.DB) (*storeDatabase, error) {
	s := db.Stats()
	return &storeDatabase{Bytes: s.TableBytes, Tables: s.TableCount, Suspect: append([]string{}, db.Suspect()...)}, nil
}

func inspectMetadata(db kv.DB) (*storePage, error) {
	snapshot, err := db.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snapshot.Release()
	in, err := replica.Inspect(snapshot)
	if err != nil {
		return nil, err
	}
	page := &storePage{
		Node: in.Node, Actor: in.Actor.String(), CleanStop: in.Clean, JoinOwed: in.JoinOwed, Clock: in.Clock.String(),
		Digest: fmt.Sprintf("%016x", in.Digest), Horizon: in.Collected.String(), Live: in.Live, Garbage: in.Garbage,
		Residual: in.Residual, Lasting: in.Lasting, Index: in.Index, Quarantined: in.Quarantined, Retired: len(in.Retired), Members: []storeMember{},
	}
	for _, m := range in.Members {
		page.Members = append(page.Members, storeMember{ID: m.ID, Absent: m.Absent, Actor: m.Actor.String(), Seen: m.Row.String()})
	}
	for _, a := range storeAreas {
		area, err := measureArea(snapshot, a.prefix)
		if err != nil {
			return nil, err
		}
		area.Name = a.name
		page.Areas = append(page.Areas, area)
	}
	page.Metadata, err = inspectDatabase(db)
	return page, err
}

// measureArea counts what is there instead of asking for approximate sizes,
// which leave out what still lies in the journal.
func measureArea(s kv.Snapshot, prefix byte) (a storeArea, err error) {
	it := s.Iterator(kv.PrefixRange([]byte{prefix}))
	defer it.Close()
	for it.Next() {
		a.Keys++
		a.Bytes += int64(len(it.Key()) + len(it.Value()))
	}
	return a, it.Err()
}

func (p *storePage) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("node", "%d", p.Node)
	line("actor", "%s", p.Actor)
	line("stopped in order", "%s", yesNo(p.CleanStop))
	line("full join owed", "%s", yesNo(p.JoinOwed))
	line("digest", "%s", p.Digest)
	line("clock", "%s", p.Clock)
	line("collection horizon", "%s", p.Horizon)
	line("live keys", "%d", p.Live)
	line("pending deletes", "%d", p.Garbage)
	line("residual contexts", "%d", p.Residual)
	line("lasting contexts", "%d", p.Lasting)
	line("index entries", "%d", p.Index)
	line("quarantined values", "%d", p.Quarantined)
	line("retired actors", "%d", p.Retired)
	for _, m := range p.Members {
		absent := ""
		if m.Absent {
			absent = ", absent"
		}
		line(fmt.Sprintf("member %d", m.ID), "actor %s%s, has seen %s", m.Actor, absent, m.Seen)
	}
	for _, a := range p.Areas {
		line(a.Name, "%d keys, %d bytes before compression", a.Keys, a.Bytes)
	}
	p.Metadata.print(line, storeMetadata)
	if p.Messages != nil {
		p.Messages.print(line, storeMessages)
	}
	return w.Flush()
}

func (d *storeDatabase) print(line func(name, format string, args ...any), name string) {
	line("database "+name, "%d bytes in %d tables", d.Bytes, d.Tables)
	if len(d.Suspect) > 0 {
		line("suspect", "%s", strings.Join(d.Suspect, "; "))
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
