package packet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// eachGolden calls use with every golden vector.
func eachGolden(tb testing.TB, use func(v Version, raw []byte)) {
	tb.Helper()
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			version, digits, _ := strings.Cut(line, " ")
			raw, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
			if v, known := versions[version]; known && err == nil {
				use(v, raw)
			}
		}
	}
}

// FuzzSplit: a stream of any bytes is cut into frames that lie side by side
// within it, whatever it claims, and Need agrees with Split.
func FuzzSplit(f *testing.F) {
	eachGolden(f, func(_ Version, raw []byte) { f.Add(append(bytes.Clone(raw), raw...), uint16(0)) })
	f.Fuzz(func(t *testing.T, stream []byte, limit uint16) {
		rest := stream
		for {
			frame, size, err := Split(rest, int(limit))
			need := Need(rest)
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || size != 0 {
					t.Fatalf("error %v with size %d", err, size)
				}
				return
			}
			if size == 0 {
				if need != 0 && need <= len(rest) {
					t.Fatalf("Split wants more than %d bytes, Need says %d", len(rest), need)
				}
				return
			}
			if size != need || frame.Size != size || size > len(rest) || limit > 0 && size > int(limit) {
				t.Fatalf("size %d, Need %d, have %d, limit %d", size, need, len(rest), limit)
			}
			if !bytes.HasSuffix(rest[:size], frame.Body) || len(frame.Body) > size-2 {
				t.Fatalf("body %x is not the end of %x", frame.Body, rest[:size])
			}
			rest = rest[size:]
		}
	})
}

// FuzzDecode: any bytes in any version either are refused with an *Error, or
// mean the same after being encoded and decoded again.
func FuzzDecode(f *testing.F) {
	eachGolden(f, func(v Version, raw []byte) { f.Add(uint8(v), raw) })
	for _, c := range refusals {
		if raw, err := hex.DecodeString(strings.ReplaceAll(c.hex, " ", "")); err == nil {
			f.Add(uint8(c.v), raw)
		}
	}
	f.Fuzz(func(t *testing.T, version uint8, raw []byte) {
		v := V31 + Version(version)%3
		frame, size, err := Split(raw, 0)
		if err != nil || size == 0 {
			return
		}
		kept := bytes.Clone(raw)
		var first, second packets
		v, err = first.decode(frame, v)
		if !bytes.Equal(raw, kept) {
			t.Fatalf("decoding changed its input")
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !e.Reason.Failed() || e.Detail == "" {
				t.Fatalf("refused with %#v", err)
			}
			return
		}
		again := first.encode(nil, frame.Type, v)
		frame2, size, err := Split(again, 0)
		if err != nil || size != len(again) || len(again) > len(raw)+4 {
			t.Fatalf("%x encoded as %x: size %d, %v", raw, again, size, err)
		}
		if _, err := second.decode(frame2, v); err != nil {
			t.Fatalf("%x encoded as %x: %v", raw, again, err)
		}
		if a, b := first.print(frame.Type), second.print(frame.Type); a != b {
			t.Fatalf("%x encoded as %x:\n%s\n%s", raw, again, a, b)
		}
		if frame.Type == TypePublish && PublishSize(v, &first.publish) != len(again) {
			t.Fatalf("PublishSize %d, encoded %d", PublishSize(v, &first.publish), len(again))
		}
	})
}
