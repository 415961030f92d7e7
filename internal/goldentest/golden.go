// Package goldentest holds the bytes of formats against the files in testdata
// that pin them, or against those of a library. It is for tests.
//
// State owned: the flag -regenerate. Concurrency: none. Failure: the test's.
package goldentest

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var regenerate = flag.Bool("regenerate", false, "write the golden files anew: only for a format that nobody has seen")

// Hex holds b against testdata/NAME.hex. why says who has the old bytes.
func Hex(t testing.TB, name string, b []byte, why string) {
	t.Helper()
	Text(t, name+".hex", hex.EncodeToString(b)+"\n", why)
}

// Text holds got against testdata/NAME. why says who has the old text.
func Text(t testing.TB, name, got, why string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *regenerate {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: %s.\ngot\n%s\nwant\n%s", path, why, got, want)
	}
}
