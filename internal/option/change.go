package option

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrNotReloadable is what Set returns, wrapped, for an option that only a
// restart changes.
var ErrNotReloadable = errors.New("cannot be changed on a running node; change it in the configuration file and restart")

// Set changes a reloadable option. The value is checked as at the start; the
// change lasts until the process ends. Set returns after the subscribers were
// told, unless another Set is telling them already: then that one goes on.
func (s *Settings) Set(key, text string) error {
	t := theTable()
	o := t.find(key)
	if o == nil {
		return errors.New(t.unknown(key))
	}
	if !o.Reloadable {
		return fmt.Errorf("%s %w", key, ErrNotReloadable)
	}
	p, err := parseValue(o, text)
	if err != nil {
		return fmt.Errorf("%s: %s", key, maskError(o, text, err))
	}
	if text == `""` {
		text = ""
	}
	changed := map[string]value{key: {option: o, text: text, parsed: p, origin: Origin{Kind: FromRuntime}}}
	if key == keyTradeConsistency && p.number != 0 {
		for _, flag := range netsplitFlags {
			changed[flag] = tradedValue(t, flag)
		}
	}
	s.mu.Lock()
	s.swapLocked(changed)
	s.mu.Unlock()
	s.deliver()
	return nil
}

// swapLocked puts a new snapshot in place and queues what subscribers hear.
func (s *Settings) swapLocked(changed map[string]value) {
	old := s.current.Load()
	next := &snapshot{values: maps.Clone(old.values)}
	for _, key := range slices.Sorted(maps.Keys(changed)) {
		before, known := old.values[key]
		if !known { // the first instance of a wildcard
			before = defaultValue(changed[key].option)
		}
		if before.text != changed[key].text || !known {
			s.mu.pending = append(s.mu.pending, change{key, before.text, changed[key].text})
		}
		next.values[key] = changed[key]
	}
	next.order = orderOf(theTable(), next.values)
	s.current.Store(next)
}

// deliver tells subscribers what is queued, one change after the other. No
// lock is held during a call; the flag keeps a second deliverer out, so that
// changes are heard in their order.
func (s *Settings) deliver() {
	for {
		s.mu.Lock()
		if s.mu.delivering || len(s.mu.pending) == 0 {
			s.mu.Unlock()
			return
		}
		c := s.mu.pending[0]
		s.mu.pending = s.mu.pending[1:]
		var tell []func(key, old, new string)
		for _, w := range s.mu.watchers {
			if w.key == "" || w.key == c.key {
				tell = append(tell, w.f)
			}
		}
		s.mu.delivering = true
		s.mu.Unlock()
		for _, f := range tell {
			f(c.key, c.old, c.new)
		}
		s.mu.Lock()
		s.mu.delivering = false
		s.mu.Unlock()
	}
}

// OnChange calls f after each change of key, with the texts before and after,
// in the order of the changes and never two at a time. f may call Set. The
// returned function ends the subscription.
func (s *Settings) OnChange(key string, f func(old, new string)) (cancel func()) {
	if theTable().find(key) == nil {
		panic("BUG: option: there is no option " + key)
	}
	return s.subscribe(key, func(_, old, new string) { f(old, new) })
}

// OnAnyChange is OnChange for every key, for those that a wildcard names at
// run time: log.level.<subsystem>.
func (s *Settings) OnAnyChange(f func(key, old, new string)) (cancel func()) {
	return s.subscribe("", f)
}

func (s *Settings) subscribe(key string, f func(key, old, new string)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.nextID++
	id := s.mu.nextID
	s.mu.watchers = append(s.mu.watchers, watcher{id, key, f})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.watchers = slices.DeleteFunc(s.mu.watchers, func(w watcher) bool { return w.id == id })
	}
}
