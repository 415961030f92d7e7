package metadata

import "bytes"

// PutSession writes the session of k; done as for Put. The floor and the end of
// the stored record are kept where they are higher (R18).
func (s *Store) PutSession(k ClientKey, v *Session, done func(error)) {
	s.Put(TableSession, k.append(nil), appendSession(nil, v), done)
}

// GetSession returns the session of k.
func (s *Store) GetSession(k ClientKey) (*Session, bool, error) {
	key := k.append(nil)
	b, ok, err := s.Get(TableSession, key)
	return sessionIn(key, b, ok, err)
}

// sessionIn decodes what was read under a session's key.
func sessionIn(key, b []byte, ok bool, err error) (*Session, bool, error) {
	if err != nil || !ok {
		return nil, false, err
	}
	v, err := decodeSession(b)
	if err != nil {
		return nil, false, damaged(TableSession, key, err)
	}
	return v, true, nil
}

// DeleteSession removes the session of k; done as for Put.
func (s *Store) DeleteSession(k ClientKey, done func(error)) {
	s.Delete(TableSession, k.append(nil), done)
}

// EachSession calls fn for every session in key order until it returns false.
func (s *Store) EachSession(fn func(k ClientKey, v *Session) bool) error {
	var fault error
	err := s.Range(TableSession, nil, nil, func(key, value []byte) bool {
		v, err := decodeSession(value)
		k, ok := parseClientKey(key)
		if err != nil || !ok {
			fault = damaged(TableSession, key, err)
			return false
		}
		return fn(k, v)
	})
	if fault != nil {
		return fault
	}
	return err
}

// PutSubscription writes one filter of k; done as for Put. filter is as it was
// sent, $share/<group>/ included.
func (s *Store) PutSubscription(k ClientKey, filter string, v *Subscription, done func(error)) {
	s.Put(TableSubscription, subscriptionKey(k, filter), appendSubscription(nil, v), done)
}

// DeleteSubscription removes one filter of k; done as for Put.
func (s *Store) DeleteSubscription(k ClientKey, filter string, done func(error)) {
	s.Delete(TableSubscription, subscriptionKey(k, filter), done)
}

// EachSubscription calls fn for every live subscription in key order until it
// returns false. Those below their session's floor are left out (R18).
func (s *Store) EachSubscription(fn func(k ClientKey, filter string, v *Subscription) bool) error {
	return s.subscriptions(nil, fn)
}

// ClientSubscriptions calls fn for every live subscription of k in order of
// the filters until it returns false.
func (s *Store) ClientSubscriptions(k ClientKey, fn func(filter string, v *Subscription) bool) error {
	return s.subscriptions(clientPrefix(k, 0), func(_ ClientKey, filter string, v *Subscription) bool {
		return fn(filter, v)
	})
}

func (s *Store) subscriptions(prefix []byte, fn func(k ClientKey, filter string, v *Subscription) bool) error {
	var fault error
	var client ClientKey
	var floor Epoch
	known := false
	err := s.Range(TableSubscription, prefix, nil, func(key, value []byte) bool {
		k, filter, ok := parseSubscriptionKey(key)
		v, err := decodeSubscription(value)
		if err != nil || !ok {
			fault = damaged(TableSubscription, key, err)
			return false
		}
		if !known || k != client {
			client, known = k, true
			if floor, fault = s.floor(k); fault != nil {
				return false
			}
		}
		return v.Epoch.Less(floor) || fn(k, filter, v)
	})
	if fault != nil {
		return fault
	}
	return err
}

// floor is the epoch below which subscriptions of k are dead.
func (s *Store) floor(k ClientKey) (Epoch, error) {
	v, ok, err := s.GetSession(k)
	if err != nil || !ok {
		return Epoch{}, err
	}
	return v.Floor, nil
}

// GetSubscription returns one filter of k, if it is live.
func (s *Store) GetSubscription(k ClientKey, filter string) (*Subscription, bool, error) {
	key := subscriptionKey(k, filter)
	b, ok, err := s.Get(TableSubscription, key)
	if err != nil || !ok {
		return nil, false, err
	}
	v, err := decodeSubscription(b)
	if err != nil {
		return nil, false, damaged(TableSubscription, key, err)
	}
	floor, err := s.floor(k)
	if err != nil || v.Epoch.Less(floor) {
		return nil, false, err
	}
	return v, true, nil
}

// PutRetained writes the retained message of topic; done as for Put.
func (s *Store) PutRetained(mountpoint, topic string, v *Retained, done func(error)) {
	s.Put(TableRetained, retainedKey(mountpoint, topic), appendRetained(nil, v), done)
}

// DeleteRetained clears the retained message of topic; done as for Put.
func (s *Store) DeleteRetained(mountpoint, topic string, done func(error)) {
	s.Delete(TableRetained, retainedKey(mountpoint, topic), done)
}

// DeleteRetainedIfExpired clears the retained message of topic if the one that
// is current when the write takes place has expired at now, in unix ms: what was
// set meanwhile stays. done as for Put, also where nothing is cleared.
func (s *Store) DeleteRetainedIfExpired(mountpoint, topic string, now int64, done func(error)) {
	key := retainedKey(mountpoint, topic)
	w := write{done: done}
	b, ok, err := s.Get(TableRetained, key)
	if err != nil || !ok {
		s.refuse(w, err)
		return
	}
	v, err := decodeRetained(b)
	if err != nil || !v.Expired(now) {
		s.refuse(w, err)
		return
	}
	// The committer compares the bytes with what is current in its turn. The
	// overlay does not show this delete: it may not happen.
	full := append(appendTable([]byte{areaObject}, TableRetained), key...)
	w.ops, w.bytes = []op{{Key: full, Delete: true, Expect: bytes.Clone(b)}}, len(full)+len(b)+64
	if err := s.queue.add(w, func(uint64) {}); err != nil {
		s.refuse(w, err)
	}
}

// GetRetained returns the retained message of topic unless it has expired at
// now, in unix ms.
func (s *Store) GetRetained(mountpoint, topic string, now int64) (*Retained, bool, error) {
	key := retainedKey(mountpoint, topic)
	b, ok, err := s.Get(TableRetained, key)
	if err != nil || !ok {
		return nil, false, err
	}
	v, err := decodeRetained(b)
	if err != nil {
		return nil, false, damaged(TableRetained, key, err)
	}
	return v, !v.Expired(now), nil
}

// EachRetained calls fn for every retained message in key order until it
// returns false, expired ones included. What v refers to is the caller's.
func (s *Store) EachRetained(fn func(mountpoint, topic string, v *Retained) bool) error {
	var fault error
	err := s.Range(TableRetained, nil, nil, func(key, value []byte) bool {
		v, err := decodeRetained(bytes.Clone(value))
		mountpoint, topic, ok := parseRetainedKey(key)
		if err != nil || !ok {
			fault = damaged(TableRetained, key, err)
			return false
		}
		return fn(mountpoint, topic, v)
	})
	if fault != nil {
		return fault
	}
	return err
}
