package pack

import (
	"bytes"
	"math"
	"testing"

	"tombolo/internal/goldentest"
)

// TestSameAsLibrary is guarantees 1 and 2 at every border between two forms.
func TestSameAsLibrary(t *testing.T) {
	for _, u := range []uint64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64} {
		want := goldentest.Msgpack(t, u)
		if got := AppendUint(nil, u); !bytes.Equal(got, want) {
			t.Errorf("uint %d: got %x, want %x", u, got, want)
		}
		r := NewReader(want)
		if got := r.Uint(); got != u || r.End() != nil {
			t.Errorf("uint %d: read %d, %v", u, got, r.Err())
		}
	}
	for _, i := range []int64{0, -1, -32, -33, -128, -129, math.MinInt16, math.MinInt16 - 1, math.MinInt32, math.MinInt32 - 1, math.MinInt64, 127, 128, math.MaxInt64} {
		want := goldentest.Msgpack(t, i)
		if got := AppendInt(nil, i); !bytes.Equal(got, want) {
			t.Errorf("int %d: got %x, want %x", i, got, want)
		}
		r := NewReader(want)
		if got := r.Int(); got != i || r.End() != nil {
			t.Errorf("int %d: read %d, %v", i, got, r.Err())
		}
	}
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536} {
		s := string(bytes.Repeat([]byte{'x'}, n))
		if got, want := AppendString(nil, s), goldentest.Msgpack(t, s); !bytes.Equal(got, want) {
			t.Errorf("string of %d: got %x", n, got[:3])
		}
		if got, want := AppendBytes(nil, []byte(s)), goldentest.Msgpack(t, []byte(s)); !bytes.Equal(got, want) {
			t.Errorf("bytes of %d: got %x", n, got[:3])
		}
		r := NewReader(AppendBytes(AppendString(nil, s), []byte(s)))
		if r.String() != s || string(r.Bytes()) != s || r.End() != nil {
			t.Errorf("string and bytes of %d do not come back: %v", n, r.Err())
		}
		list := make([]bool, n)
		if got, want := AppendArray(nil, n), goldentest.Msgpack(t, list); !bytes.HasPrefix(want, got) {
			t.Errorf("array of %d: got %x", n, got)
		}
		r = NewReader(goldentest.Msgpack(t, list))
		if got := r.Array(); got != n || len(r.Rest()) != n {
			t.Errorf("array of %d: read %d", n, got)
		}
	}
	if !bytes.Equal(AppendBytes(nil, nil), goldentest.Msgpack(t, []byte(nil))) || !bytes.Equal(AppendBool(nil, true), goldentest.Msgpack(t, true)) {
		t.Error("nil or true differ")
	}
}

// TestSkip passes over everything that the library can write.
func TestSkip(t *testing.T) {
	for _, v := range []any{nil, true, 1, -1, 3.5, float32(1), "s", []byte("b"), []int{1, 2}, map[string]int{"a": 1},
		[]any{map[string]any{"x": []int{1}}, "y"}, bytes.Repeat([]byte{1}, 70000), make([]int, 70000)} {
		b := goldentest.Msgpack(t, v)
		r := NewReader(append(bytes.Clone(b), 0x07))
		if got := r.Skip(); !bytes.Equal(got, b) || r.Uint() != 7 || r.End() != nil {
			t.Errorf("%T: skipped %d of %d bytes, %v", v, len(got), len(b), r.Err())
		}
	}
}

// TestHostileLengths: what a header claims is never believed (guarantee 3).
func TestHostileLengths(t *testing.T) {
	for name, b := range map[string][]byte{
		"array":  {0xdd, 0xff, 0xff, 0xff, 0xff, 1},
		"bytes":  {0xc6, 0xff, 0xff, 0xff, 0xff, 1},
		"string": {0xdb, 0xff, 0xff, 0xff, 0xff, 1},
		"map":    {0xdf, 0xff, 0xff, 0xff, 0xff, 1},
		"ext":    {0xc9, 0xff, 0xff, 0xff, 0xff, 1},
		"deep":   bytes.Repeat([]byte{0x91}, 1000),
		"empty":  {},
	} {
		for kind, read := range map[string]func(r *Reader){
			"array": func(r *Reader) { r.Array() }, "bytes": func(r *Reader) { r.Bytes() },
			"string": func(r *Reader) { _ = r.String() }, "skip": func(r *Reader) { r.Skip() },
			"uint": func(r *Reader) { r.Uint() },
		} {
			if name == "deep" && kind == "array" {
				continue
			}
			r := NewReader(b)
			read(&r)
			if r.Err() == nil {
				t.Errorf("%s read as %s: no fault", name, kind)
			}
		}
	}
}

// TestPasses passes over a value that is known, and over no other one.
func TestPasses(t *testing.T) {
	known, other := AppendBytes(nil, []byte("abc")), AppendBytes(nil, []byte("abd"))
	r := NewReader(AppendUint(append(bytes.Clone(known), known...), 7))
	if r.Passes(other) || r.Passes(nil) || !r.Passes(known) || !r.Passes(known) || r.Passes(known) || r.Uint() != 7 || r.End() != nil {
		t.Errorf("what is known was not passed over, or something else was: %v", r.Err())
	}
	if r.Fail(ErrKind); r.Passes(known) {
		t.Error("something was read behind a fault")
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0x93, 0x01, 0xc4, 0x01, 0x41, 0xa1, 0x42}, uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, order uint8) {
		r := NewReader(b)
		for n := 0; n < 64 && r.Err() == nil && len(r.Rest()) > 0; n++ {
			before := len(r.Rest())
			switch (order + uint8(n)) % 7 {
			case 0:
				r.Array()
			case 1:
				r.Uint()
			case 2:
				r.Int()
			case 3:
				r.Bytes()
			case 4:
				_ = r.String()
			case 5:
				r.Bool()
			default:
				r.Skip()
			}
			if r.Err() == nil && len(r.Rest()) >= before {
				t.Fatal("a read consumed nothing")
			}
		}
	})
}
