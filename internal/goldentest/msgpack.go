package goldentest

import (
	"bytes"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// Msgpack encodes v as the library msgpack/v5 does it with compact integers: the twin
// that our own codecs are held against.
func Msgpack(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
