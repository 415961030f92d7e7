package metadata

import "tombolo/internal/kv"

// Stopped reads the tables in the database of a store that is not open: that of a
// stopped node. Immutable; safe for concurrent use.
type Stopped struct{ tables *Store }

// ReadStopped gives what is in db, which its caller closes.
func ReadStopped(db kv.DB) Stopped { return Stopped{&Store{db: db, overlay: newOverlay()}} }

// GetSession is Store.GetSession.
func (s Stopped) GetSession(k ClientKey) (*Session, bool, error) { return s.tables.GetSession(k) }

// EachSession is Store.EachSession.
func (s Stopped) EachSession(fn func(k ClientKey, v *Session) bool) error {
	return s.tables.EachSession(fn)
}

// EachSubscription is Store.EachSubscription.
func (s Stopped) EachSubscription(fn func(k ClientKey, filter string, v *Subscription) bool) error {
	return s.tables.EachSubscription(fn)
}
