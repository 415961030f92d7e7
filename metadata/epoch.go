package metadata

import (
	"cmp"

	"tombolo/internal/pack"
)

// Epoch orders the lives of a session: by HLC, then by Node. The zero value is
// before every other.
type Epoch struct {
	HLC  uint64
	Node uint64
}

// Compare is negative if e is before o, positive if it is after, else zero.
func (e Epoch) Compare(o Epoch) int {
	if c := cmp.Compare(e.HLC, o.HLC); c != 0 {
		return c
	}
	return cmp.Compare(e.Node, o.Node)
}

// Less says whether e is before o.
func (e Epoch) Less(o Epoch) bool { return e.Compare(o) < 0 }

// IsZero says whether e was never set.
func (e Epoch) IsZero() bool { return e == Epoch{} }

func maxEpoch(a, b Epoch) Epoch {
	if a.Less(b) {
		return b
	}
	return a
}

func appendEpoch(dst []byte, e Epoch) []byte {
	dst = pack.AppendArray(dst, 2)
	dst = pack.AppendUint(dst, e.HLC)
	return pack.AppendUint(dst, e.Node)
}

func readEpoch(r *pack.Reader) Epoch {
	if n := r.Array(); n != 2 {
		r.Fail(pack.ErrKind)
		return Epoch{}
	}
	return Epoch{HLC: r.Uint(), Node: r.Uint()}
}
