package client

import (
	"errors"
	"fmt"

	"tombolo/mqtt/packet"
)

// ErrClosed is returned after Disconnect or Close.
var ErrClosed = errors.New("the connection was closed here")

// RefusedError is a CONNACK that says no. Immutable once built.
type RefusedError struct {
	Version   packet.Version // of the answer
	Reason    packet.ReasonCode
	Text      string // reason string of the broker, may be empty
	Reference string // the other server to use, may be empty
}

func (e *RefusedError) Error() string {
	text := "the broker refused the connection: " + e.Reason.String()
	if e.Text != "" {
		text += " (" + e.Text + ")"
	}
	if e.Reference != "" {
		text += ", use " + e.Reference
	}
	return text
}

// DisconnectedError is a DISCONNECT from the broker. Immutable once built.
type DisconnectedError struct {
	Reason packet.ReasonCode
	Text   string // reason string of the broker, may be empty
}

func (e *DisconnectedError) Error() string {
	text := "the broker ended the connection: " + e.Reason.String()
	if e.Text != "" {
		text += " (" + e.Text + ")"
	}
	return text
}

// DialError is a connection that was not established. Immutable once built.
type DialError struct {
	Address string
	Err     error
}

func (e *DialError) Error() string { return fmt.Sprintf("connecting to %s: %v", e.Address, e.Err) }

// Unwrap gives the cause.
func (e *DialError) Unwrap() error { return e.Err }
