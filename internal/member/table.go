package member

import (
	"fmt"
	"log/slog"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// tableKey is the one key of the members table.
const tableKey = "cluster"

// table is the copy of the record in effect that all nodes share: it shows the
// member set to whoever reads the tables, brings a node up to date that missed
// it on the links, and outlives the file. Owned by the Set's loop; written is
// sent to from the store's goroutine.
type table struct {
	store   *metadata.Store
	watch   *metadata.Watch
	holds   Record // version and nonce that are known to be there
	writing bool
	written chan error
}

func newTable(s *metadata.Store) *table { return &table{store: s, written: make(chan error, 1)} }

// read returns the record of the table; Version 0 for none.
func (t *table) read() (Record, error) {
	if t.store == nil {
		return Record{}, nil
	}
	b, ok, err := t.store.Get(metadata.TableMembers, []byte(tableKey))
	if err != nil || !ok {
		return Record{}, err
	}
	r, err := parseRecord(b)
	if err != nil {
		return Record{}, fmt.Errorf("member: the record in table %s: %w", metadata.TableMembers, err)
	}
	return *r, nil
}

// begin watches the table; it says what is there first.
func (t *table) begin() (Record, error) {
	if t.store == nil {
		return Record{}, nil
	}
	t.watch = t.store.Watch(metadata.TableMembers, []byte(tableKey))
	return t.read()
}

func (t *table) end() {
	if t.watch != nil {
		t.watch.Close()
	}
}

// ready tells that the table has changed.
func (t *table) ready() <-chan struct{} {
	if t.watch == nil {
		return nil
	}
	return t.watch.Ready()
}

// take returns the record after a change.
func (t *table) take() (Record, error) {
	if _, _, err := t.watch.Take(); err != nil {
		return Record{}, err
	}
	return t.read()
}

// write brings the table up to date with r; one that takes no writes yet is
// asked again at the next tick.
func (t *table) write(r *Record) {
	if t.store == nil || t.writing || r.Version == 0 || !r.above(&t.holds) {
		return
	}
	t.writing = true
	t.holds = Record{Version: r.Version, Nonce: r.Nonce}
	t.store.Put(metadata.TableMembers, []byte(tableKey), appendRecord(nil, r), func(err error) { t.written <- err })
}

// wrote takes the end of a write.
func (t *table) wrote(err error, log func(slog.Level, string)) {
	t.writing = false
	if err != nil {
		t.holds = Record{}
		log(slog.LevelDebug, "the member set is not in the table yet: "+err.Error())
	}
}

// history says what of its own a node holds that would be lost or mixed up if
// it joined a cluster; "" for nothing.
func (t *table) history() (string, error) {
	if t.store == nil {
		return "", nil
	}
	for _, own := range []struct {
		table metadata.Table
		what  string
	}{{metadata.TableSession, "sessions"}, {metadata.TableSubscription, "subscriptions"}, {metadata.TableRetained, "retained messages"}} {
		found := false
		err := t.store.Range(own.table, nil, nil, func(_, _ []byte) bool {
			found = true
			return false
		})
		if err != nil {
			return "", fmt.Errorf("member: %w", err)
		}
		if found {
			return own.what, nil
		}
	}
	return "", nil
}

// historyText refuses to join with what a node holds, and names the remedy.
func historyText(what string) string {
	return "this node holds " + what + " of its own, which a cluster that it joined would not take over: " +
		"let the others join this node (they must be empty), or stop it, move its data directory away and start it with an empty one"
}

// copyOf is a list that the receiver may keep.
func copyOf(list []wire.Member) []wire.Member { return append([]wire.Member(nil), list...) }
