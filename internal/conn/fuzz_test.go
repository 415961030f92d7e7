package conn

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// However frames are cut, the payload and the verdict are the same, nothing is
// read beyond the input, and answers stay within their bound.
func FuzzWebSocketDecode(f *testing.F) {
	f.Add(rawFrame(finBinary, "hello", true), uint8(3))
	f.Add(append(rawFrame(partBinary, "a", true), rawFrame(finPing, "p", true)...), uint8(1))
	f.Add(rawFrame(finClose, "\x03\xe8", true), uint8(2))
	f.Add([]byte{finBinary, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, uint8(9))
	f.Fuzz(func(t *testing.T, in []byte, cut uint8) {
		decode := func(piece int) (payload []byte, replies []byte, err error) {
			w := newWSLayer(1 << 16)
			for rest := bytes.Clone(in); len(rest) > 0 && err == nil; {
				n := min(piece, len(rest))
				var kept int
				kept, err = w.decode(rest[:n])
				if kept > n {
					t.Fatalf("%d bytes of payload in %d", kept, n)
				}
				payload = append(payload, rest[:kept]...)
				rest = rest[n:]
			}
			if len(w.replies) > wsRepliesMax+2*wsRepliesMax {
				t.Fatalf("%d bytes of answers", len(w.replies))
			}
			return payload, w.replies, err
		}
		whole, wholeReplies, wholeErr := decode(len(in) + 1)
		parts, partReplies, partErr := decode(1 + int(cut))
		if !bytes.Equal(whole, parts) || !bytes.Equal(wholeReplies, partReplies) {
			t.Fatalf("whole %x %x, in parts %x %x", whole, wholeReplies, parts, partReplies)
		}
		if (wholeErr == nil) != (partErr == nil) || wholeErr != nil && wholeErr.Error() != partErr.Error() {
			t.Fatalf("whole %v, in parts %v", wholeErr, partErr)
		}
		if wholeErr != nil && !errors.Is(wholeErr, ErrFraming) && wholeErr != io.EOF {
			t.Fatalf("error of another kind: %v", wholeErr)
		}
	})
}

// The size of a PROXY header never depends on bytes beyond it, and is bounded.
func FuzzProxySize(f *testing.F) {
	f.Add([]byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nrest"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c123456789012rest"))
	f.Fuzz(func(t *testing.T, in []byte) {
		size, err := proxySize(in)
		if err != nil {
			return
		}
		if size < 0 || size > proxyFixedBytes+proxyPayloadMax {
			t.Fatalf("size %d", size)
		}
		if size > 0 && size <= len(in) {
			if again, err := proxySize(in[:size]); err != nil || again != size {
				t.Fatalf("size %d of the whole, %d and %v of the header alone", size, again, err)
			}
		}
	})
}
