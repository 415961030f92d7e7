package metadata

// A reader of raw keys, as Watch and Range give them, splits them with these.

// ParseSessionKey splits a key of TableSession.
func ParseSessionKey(key []byte) (ClientKey, bool) { return parseClientKey(key) }

// ParseSubscriptionKey splits a key of TableSubscription.
func ParseSubscriptionKey(key []byte) (k ClientKey, filter string, ok bool) {
	return parseSubscriptionKey(key)
}

// ParseRetainedKey splits a key of TableRetained.
func ParseRetainedKey(key []byte) (mountpoint, topic string, ok bool) {
	return parseRetainedKey(key)
}

// DecodeSession reads a value of TableSession.
func DecodeSession(value []byte) (*Session, error) { return decodeSession(value) }

// DecodeSubscription reads a value of TableSubscription.
func DecodeSubscription(value []byte) (*Subscription, error) { return decodeSubscription(value) }

// DecodeRetained reads a value of TableRetained; payload and properties are
// parts of value.
func DecodeRetained(value []byte) (*Retained, error) { return decodeRetained(value) }
