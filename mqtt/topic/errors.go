package topic

import "errors"

// What can be wrong with a name or a filter. Callers branch on them with ==;
// the sentences are fixed because they leave as MQTT 5 reason strings.
var (
	ErrEmpty    = errors.New("topic must have at least one character")
	ErrTooLong  = errors.New("topic is longer than 65535 bytes")
	ErrNul      = errors.New("topic must not contain the null character")
	ErrWildcard = errors.New("topic has a wildcard where none may stand")
	ErrTooDeep  = errors.New("topic has more levels than topic_max_depth allows")
	ErrShare    = errors.New("shared subscription must be $share/<group>/<filter>")
)
