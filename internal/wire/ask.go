package wire

import "tombolo/internal/pack"

// askBytesMax bounds the body of a question or an answer.
const askBytesMax = 4 << 20

// Ask is a question of an operator that one node passes on to another: a
// request of the HTTP API.
type Ask struct {
	Request uint64 // the asker's number, that comes back in the answer
	Method  string
	Target  string // path and query
	Body    []byte
}

// AppendAsk appends the body of a question.
func AppendAsk(dst []byte, m *Ask) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, 4), m.Request)
	return pack.AppendBytes(pack.AppendString(pack.AppendString(dst, m.Method), m.Target), m.Body)
}

// ParseAsk reads the body of a question. Its Body is a view of the frame.
func ParseAsk(b []byte, m *Ask) error {
	r := NewReader(b)
	more := r.begin(4)
	m.Request = r.Uint()
	m.Method = r.StringMax(nameBytesMax)
	m.Target = r.StringMax(stringBytesMax)
	m.Body = r.Bytes()
	r.finish(more)
	if len(m.Body) > askBytesMax {
		r.Fail(pack.ErrRange)
	}
	return r.End()
}

// Answer is what the asked node says.
type Answer struct {
	Request uint64
	Status  uint16 // of HTTP
	Body    []byte
}

// AppendAnswer appends the body of an answer.
func AppendAnswer(dst []byte, m *Answer) []byte {
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), m.Request), uint64(m.Status))
	return pack.AppendBytes(dst, m.Body)
}

// ParseAnswer reads the body of an answer. Its Body is a view of the frame.
func ParseAnswer(b []byte, m *Answer) error {
	r := NewReader(b)
	more := r.begin(3)
	m.Request = r.Uint()
	m.Status = uint16(r.UintMax(1<<16 - 1))
	m.Body = r.Bytes()
	r.finish(more)
	if len(m.Body) > askBytesMax {
		r.Fail(pack.ErrRange)
	}
	return r.End()
}
