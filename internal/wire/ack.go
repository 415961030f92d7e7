package wire

import "tombolo/internal/pack"

// Result is how a message ended at its receiver (R10).
type Result uint8

// The results.
const (
	Stored  Result = iota // durable there, or handed on if it need not be
	NoMatch               // nobody there wants it
	Refused               // not taken; the sender tries again later
	results

	// Later is told on this node only: the message is taken, and how it ended
	// will be told.
	Later Result = 255
)

// String is the result's name as it stands in metrics and logs.
func (r Result) String() string {
	return [...]string{"stored", "no_match", "refused", "unknown"}[min(r, results)]
}

// NotStored is the reason of a Refused message if the receiver's store takes nothing
// now, whatever the message is.
const NotStored uint8 = 0x80

// Outcome is the end of one message that was not stored. Sequence is that of
// its last frame. Reason is one of MQTT 5's codes, or 0.
type Outcome struct {
	Sequence uint64
	Result   Result
	Reason   uint8
}

// Ack tells the sender of a stream how far its messages have ended. Every one
// up to Through that Outcomes does not name is stored.
type Ack struct {
	Stream      Stream
	Incarnation Incarnation // of the stream's sender
	Through     uint64
	Credit      uint64 // bytes of bodies, since the stream began, that may be sent (R12)
	Outcomes    []Outcome
}

// AppendAck appends the body of an ack.
func AppendAck(dst []byte, a *Ack) []byte {
	dst = pack.AppendArray(dst, 5)
	dst = pack.AppendUint(dst, uint64(a.Stream))
	dst = pack.AppendUint(dst, uint64(a.Incarnation))
	dst = pack.AppendUint(dst, a.Through)
	dst = pack.AppendUint(dst, a.Credit)
	return appendList(dst, a.Outcomes, appendOutcome)
}

func appendOutcome(dst []byte, o *Outcome) []byte {
	dst = pack.AppendArray(dst, 3)
	dst = pack.AppendUint(dst, o.Sequence)
	dst = pack.AppendUint(dst, uint64(o.Result))
	return pack.AppendUint(dst, uint64(o.Reason))
}

// ParseAck reads the body of an ack.
func ParseAck(b []byte, a *Ack) error {
	r := NewReader(b)
	more := r.begin(5)
	a.Stream = readStream(&r)
	a.Incarnation = Incarnation(r.Uint())
	a.Through = r.Uint()
	a.Credit = r.Uint()
	a.Outcomes = list(&r, a.Outcomes, WindowFramesMax, readOutcome)
	r.finish(more)
	return r.End()
}

func readOutcome(r *Reader, o *Outcome) {
	more := r.begin(3)
	o.Sequence = r.Uint()
	o.Result = Result(r.UintMax(uint64(results) - 1))
	o.Reason = uint8(r.UintMax(255))
	r.finish(more)
}

// readStream reads the number of a numbered stream.
func readStream(r *Reader) Stream {
	s := Stream(r.UintMax(uint64(streams) - 1))
	if !s.Numbered() {
		r.Fail(pack.ErrRange)
	}
	return s
}

// Resume is what the receiver of a stream says when a connection stands: where
// the sender goes on. It is an ack, and says besides what need not be sent
// again although it has not ended yet.
type Resume struct {
	Ack
	Received uint64 // the last frame taken in, ended or not
	Accepted uint64 // bytes of bodies up to Received, to which Credit relates
}

// AppendResume appends the body of a resume.
func AppendResume(dst []byte, m *Resume) []byte {
	dst = pack.AppendArray(dst, 3)
	dst = AppendAck(dst, &m.Ack)
	dst = pack.AppendUint(dst, m.Received)
	return pack.AppendUint(dst, m.Accepted)
}

// ParseResume reads the body of a resume.
func ParseResume(b []byte, m *Resume) error {
	r := NewReader(b)
	more := r.begin(3)
	start := r.Rest()
	r.Skip()
	inner := start[:len(start)-len(r.Rest())]
	m.Received = r.Uint()
	m.Accepted = r.Uint()
	r.finish(more)
	if err := r.End(); err != nil {
		return err
	}
	return ParseAck(inner, &m.Ack)
}

// Open is the sender's answer to Resume: the first frame that comes.
type Open struct {
	Stream Stream
	Next   uint64
}

// AppendOpen appends the body of an open.
func AppendOpen(dst []byte, o *Open) []byte {
	return pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 2), uint64(o.Stream)), o.Next)
}

// ParseOpen reads the body of an open.
func ParseOpen(b []byte, o *Open) error {
	r := NewReader(b)
	more := r.begin(2)
	o.Stream = readStream(&r)
	o.Next = r.Uint()
	r.finish(more)
	return r.End()
}
