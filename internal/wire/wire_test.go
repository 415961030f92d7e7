package wire

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"tombolo/internal/goldentest"
	"tombolo/internal/pack"
)

// golden holds b against testdata/name.hex.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	goldentest.Hex(t, name, b, "other nodes speak it as it was")
}

// TestFormat pins every body and the header, and sees each come back as it was
// (guarantee 4) and pass through the library unchanged (guarantee 1). Every header has
// room for a relay (R26).
func TestFormat(t *testing.T) {
	seen := []Type{TypeMetadata} // opaque
	for _, c := range codecs() {
		seen = append(seen, c.kind)
		golden(t, c.kind.String(), c.sample)
		if again, err := c.again(c.sample); err != nil || !bytes.Equal(again, c.sample) {
			t.Errorf("%v comes back as %x, %v; want %x", c.kind, again, err, c.sample)
		}
		var v any
		if err := msgpack.Unmarshal(c.sample, &v); err != nil {
			t.Fatalf("%v: the library: %v", c.kind, err)
		}
		if b := goldentest.Msgpack(t, v); !bytes.Equal(b, c.sample) {
			t.Errorf("%v: the library writes %x, we %x", c.kind, b, c.sample)
		}
	}
	for k := Type(1); k < types; k++ {
		if !slices.Contains(seen, k) || typeNames[k] == "" || carriers[k] == 0 {
			t.Errorf("type %d has no codec, no name or no stream", k)
		}
	}
	// Source, destination and the way that is left stand in every header (R26).
	h := Header{Version: 1, Type: TypePublish, Flags: FlagFirst | FlagLast, TTL: 1, Source: 1, Destination: 2, Incarnation: 3,
		Stream: StreamPublish, Sequence: 4, Length: 5}
	b := AppendHeader(nil, &h)
	golden(t, "header", b)
	var got Header
	if err := ParseHeader(b, &got); err != nil || got != h || len(b) != HeaderBytes {
		t.Errorf("header comes back as %+v, %v", got, err)
	}
}

// TestLaterVersions is guarantee 3: values behind the known ones are passed
// over, missing ones are a fault.
func TestLaterVersions(t *testing.T) {
	for _, c := range codecs() {
		n := int(c.sample[0] & 0x0f)
		longer := append([]byte{0x90 | byte(n+2)}, c.sample[1:]...)
		longer = append(longer, 0x93, 1, 0xa1, 'x', 0xc0, 0xcd, 1, 2)
		if again, err := c.again(longer); err != nil || !bytes.Equal(again, c.sample) {
			t.Errorf("%v with two more values: %v", c.kind, err)
		}
		for cut := range len(c.sample) {
			if _, err := c.again(c.sample[:cut]); err == nil {
				t.Errorf("%v cut to %d of %d bytes is taken", c.kind, cut, len(c.sample))
			}
		}
		if _, err := c.again(append(bytes.Clone(c.sample), 0)); !errors.Is(err, pack.ErrTrail) {
			t.Errorf("%v with a byte behind it: %v", c.kind, err)
		}
	}
}

// TestSameAsLibrary is guarantee 1 at every border between two forms.
func TestSameAsLibrary(t *testing.T) {
	check := func(got []byte, v any) {
		t.Helper()
		if want := goldentest.Msgpack(t, v); !bytes.Equal(got, want) {
			t.Errorf("%T of %d bytes begins %x, the library's %x", v, len(got), got[:min(9, len(got))], want[:min(9, len(want))])
		}
	}
	for _, u := range []uint64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64} {
		check(pack.AppendUint(nil, u), u)
		if r := NewReader(goldentest.Msgpack(t, u)); r.Uint() != u || r.End() != nil {
			t.Errorf("%d does not come back: %v", u, r.Err())
		}
		wide := bytes.Buffer{} // the form of 9 bytes, which the library writes by default
		_ = msgpack.NewEncoder(&wide).EncodeUint64(u)
		if r := NewReader(wide.Bytes()); r.Uint() != u || r.End() != nil {
			t.Errorf("%d in its long form does not come back: %v", u, r.Err())
		}
	}
	for _, i := range []int64{0, 127, -1, -32, -33, -128, -129, math.MinInt16, math.MinInt16 - 1, math.MinInt32, math.MinInt32 - 1, math.MinInt64, math.MaxInt64} {
		check(pack.AppendInt(nil, i), i)
		if r := NewReader(goldentest.Msgpack(t, i)); r.Int() != i || r.End() != nil {
			t.Errorf("%d does not come back: %v", i, r.Err())
		}
	}
	for _, n := range []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536} {
		s := strings.Repeat("x", n)
		check(pack.AppendString(nil, s), s)
		check(pack.AppendBytes(nil, []byte(s)), []byte(s))
		list := slices.Repeat([]byte{0xc2}, n)
		check(append(pack.AppendArray(nil, n), list...), make([]bool, n))
		r := NewReader(append(append(pack.AppendBytes(pack.AppendString(nil, s), []byte(s)), pack.AppendArray(nil, n)...), list...))
		if string(r.Text()) != s || string(r.Bytes()) != s || r.Array() != n || len(r.Rest()) != n || r.Err() != nil {
			t.Errorf("%d bytes do not come back: %v", n, r.Err())
		}
	}
	check(pack.AppendBytes(nil, nil), nil)
	check(pack.AppendBool(pack.AppendBool(nil, true)[:0], false), false)
}

// TestHostileLengths is guarantee 2: what a header claims is never believed.
func TestHostileLengths(t *testing.T) {
	for name, b := range map[string][]byte{
		"array": {0xdd, 0xff, 0xff, 0xff, 0xff, 1}, "bytes": {0xc6, 0xff, 0xff, 0xff, 0xff, 1}, "string": {0xdb, 0xff, 0xff, 0xff, 0xff, 1},
		"map": {0xdf, 0xff, 0xff, 0xff, 0xff, 1}, "ext": {0xc9, 0xff, 0xff, 0xff, 0xff, 1}, "empty": {},
	} {
		for kind, read := range map[string]func(r *Reader){
			"array": func(r *Reader) { r.Array() }, "bytes": func(r *Reader) { r.Bytes() }, "string": func(r *Reader) { r.Text() },
			"skip": func(r *Reader) { r.Skip() }, "uint": func(r *Reader) { r.Uint() }, "int": func(r *Reader) { r.Int() },
		} {
			r := NewReader(b)
			read(&r)
			if r.Err() == nil {
				t.Errorf("%s read as %s: no fault", name, kind)
			}
		}
	}
	r := NewReader(bytes.Repeat([]byte{0x91}, 1000))
	if r.Skip(); !errors.Is(r.Err(), pack.ErrDeep) {
		t.Errorf("1000 arrays in each other: %v", r.Err())
	}
	for _, c := range codecs() {
		for at := range c.sample {
			for _, claim := range []byte{0xdd, 0xc6, 0xdb} {
				b := append(bytes.Clone(c.sample[:at]), claim, 0xff, 0xff, 0xff, 0xff)
				b = append(b, c.sample[at:]...)
				if n := testing.AllocsPerRun(1, func() { _, _ = c.again(b) }); n > 100 {
					t.Errorf("%v with a claim at %d: %v allocations", c.kind, at, n)
				}
			}
		}
	}
}

// FuzzBodies: no input harms a parser; what one takes, it writes in a form that
// it takes again and that the library reads.
func FuzzBodies(f *testing.F) {
	all := codecs()
	for i, c := range all {
		f.Add(uint8(i), c.sample)
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		c := all[int(which)%len(all)]
		first, err := c.again(b)
		if err != nil {
			return
		}
		second, err := c.again(first)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v: %x is written as %x, and that as %x (%v)", c.kind, b, first, second, err)
		}
		var v any
		if err := msgpack.Unmarshal(first, &v); err != nil {
			t.Fatalf("%v: the library does not read %x: %v", c.kind, first, err)
		}
		if l := goldentest.Msgpack(t, v); !bytes.Equal(l, first) {
			t.Fatalf("%v: the library writes %x, we %x", c.kind, l, first)
		}
	})
}

// FuzzLibrary: what the library writes, a Reader passes over to the byte.
func FuzzLibrary(f *testing.F) {
	f.Add(uint64(1), int64(-1), "s", []byte("b"), true)
	f.Fuzz(func(t *testing.T, u uint64, i int64, s string, b []byte, ok bool) {
		encoded := goldentest.Msgpack(t, []any{u, i, s, b, ok, nil, 1.5, map[string]any{s: []uint64{u}}})
		r := NewReader(encoded)
		if r.Array() != 8 || r.Uint() != u || r.Int() != i || string(r.Text()) != s || !bytes.Equal(r.Bytes(), b) || r.Bool() != ok {
			t.Fatalf("%x does not come back: %v", encoded, r.Err())
		}
		r.finish(3)
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
		own := pack.AppendBool(pack.AppendBytes(pack.AppendString(pack.AppendInt(pack.AppendUint(nil, u), i), s), b), ok)
		if !bytes.HasPrefix(encoded[1:], own) {
			t.Fatalf("we write %x, the library %x", own, encoded)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add(AppendHeader(nil, &Header{Version: 1, Type: TypeAck, TTL: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		if ParseHeader(b, &h) != nil {
			return
		}
		if h.Length > BodyBytesMax || !bytes.Equal(AppendHeader(nil, &h), b[:HeaderBytes]) {
			t.Fatalf("%x is taken as %+v", b, h)
		}
	})
}

// frame128 is a publish of 128 bytes of payload as it stands in a stream.
func frame128(dst []byte, h *Header, p *Publish) []byte {
	dst = AppendHeader(dst, h)
	return AppendPublish(dst, p)
}

// BenchmarkPublish128 is one publish of 128 bytes, written and read.
func BenchmarkPublish128(b *testing.B) {
	p := publish
	p.Groups, p.Body = nil, append([]byte{0x30, 139, 1, 0, 8, 's', 'e', 'n', 's', 'o', 'r', '/', '1', 0}, make([]byte, 128)...)
	h := Header{Version: 1, Type: TypePublish, TTL: 1, Source: 1, Destination: 2, Stream: StreamPublish, Sequence: 1}
	var buf []byte
	var got Publish
	var head Header
	b.ReportAllocs()
	for b.Loop() {
		buf = frame128(buf[:0], &h, &p)
		if ParseHeader(buf, &head) != nil || ParsePublish(buf[HeaderBytes:], &got) != nil {
			b.Fatal("does not come back")
		}
	}
	b.SetBytes(int64(len(buf)))
}

// TestPublishAllocatesNothing is the budget of the data plane.
func TestPublishAllocatesNothing(t *testing.T) {
	p := publish
	p.Sessions = [][]byte{[]byte("one"), []byte("two")}
	var buf []byte
	var got Publish
	run := func() {
		buf = frame128(buf[:0], &Header{}, &p)
		if err := ParsePublish(buf[HeaderBytes:], &got); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
