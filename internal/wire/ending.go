package wire

// Ending is how a message of a numbered stream ended for the one who sent it.
// It is never on the wire; it stands here because both the links and the broker
// speak of it.
type Ending uint8

// The endings.
const (
	EndStored  Ending = iota + 1 // at the peer, durable or handed on
	EndNoMatch                   // nobody there wants it
	EndInSpool                   // durable in our own spool; it will be sent (R9)
	EndLost                      // the stream began anew, or the links stopped
	EndRefused                   // told on every stream but the publish stream, where it is tried again
)

// String is the ending's name as it stands in metrics and logs.
func (e Ending) String() string {
	return [...]string{"none", "stored", "no_match", "in_spool", "lost", "refused"}[e]
}
