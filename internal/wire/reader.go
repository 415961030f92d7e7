package wire

import "tombolo/internal/pack"

// Reader reads the values of a frame, and what several frames have in common. It
// belongs to one goroutine.
type Reader struct{ pack.Reader }

// NewReader reads from b, which must not change meanwhile: byte strings that
// it returns are parts of b.
func NewReader(b []byte) Reader { return Reader{pack.NewReader(b)} }

// begin reads the header of an array of at least least values and returns how
// many more there are.
func (r *Reader) begin(least int) int { return max(0, r.ArrayMin(least)-least) }

// lateBool reads a value behind those that the first nodes wrote; without it, it
// is false.
func (r *Reader) lateBool(more *int) bool {
	if *more == 0 {
		return false
	}
	*more--
	return r.Bool()
}

// finish passes over more values.
func (r *Reader) finish(more int) {
	for ; more > 0 && r.Err() == nil; more-- {
		r.Skip()
	}
}

// list reads an array of at most most elements into what dst already holds.
func list[T any](r *Reader, dst []T, most int, one func(*Reader, *T)) []T {
	n := r.Array()
	if n > most {
		r.Fail(pack.ErrRange)
		n = 0
	}
	dst = dst[:0]
	for i := 0; i < n && r.Err() == nil; i++ {
		if i < cap(dst) {
			dst = dst[:i+1] // keeps the slices inside the element
		} else {
			var zero T
			dst = append(dst, zero)
		}
		one(r, &dst[i])
	}
	return dst
}

// appendList appends an array whose elements one appends.
func appendList[T any](dst []byte, list []T, one func([]byte, *T) []byte) []byte {
	dst = pack.AppendArray(dst, len(list))
	for i := range list {
		dst = one(dst, &list[i])
	}
	return dst
}
