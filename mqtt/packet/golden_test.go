package packet

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the printed forms of testdata/golden anew")

// versions reads the version column of the golden files.
var versions = map[string]Version{"3.1": V31, "3.1.1": V311, "5": V5}

// TestGolden decodes every vector in testdata/golden, compares its printed
// form, and wants the encoder to give back the very bytes. Each vector is
// three lines: a comment, the version with the bytes in hexadecimal, and the
// printed form. The bytes were composed by hand from the standards.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	seen := map[Type]map[Version]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { goldenFile(t, file, seen) })
	}
	for typ := TypeConnect; typ <= TypeAuth; typ++ {
		for _, v := range versions {
			if !seen[typ][v] && (typ != TypeAuth || v == V5) {
				t.Errorf("no golden vector for %s in MQTT %s", typ, v)
			}
		}
	}
}

func goldenFile(t *testing.T, file string, seen map[Type]map[Version]bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var p packets
	for i := 0; i < len(lines); i++ {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			continue
		}
		version, digits, _ := strings.Cut(lines[i], " ")
		raw, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		v, known := versions[version]
		if err != nil || !known || i+1 == len(lines) {
			t.Fatalf("%s:%d: not a vector: %q %v", file, i+1, lines[i], err)
		}
		typ, printed := goldenVector(t, &p, raw, v)
		i++
		if *update {
			lines[i] = printed
		} else if printed != lines[i] {
			t.Errorf("%s:%d: %x\n got %s\nwant %s", file, i+1, raw, printed, lines[i])
		}
		if seen[typ] == nil {
			seen[typ] = map[Version]bool{}
		}
		seen[typ][v] = true
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func goldenVector(t *testing.T, p *packets, raw []byte, v Version) (Type, string) {
	t.Helper()
	f, size, err := Split(raw, 0)
	if err != nil || size != len(raw) || Need(raw) != len(raw) {
		t.Fatalf("%x: Split: size %d, Need %d, error %v; want %d", raw, size, Need(raw), err, len(raw))
	}
	got, err := p.decode(f, v)
	if err != nil || got != v {
		t.Fatalf("%x: decoded in version %s with error %v; want %s", raw, got, err, v)
	}
	if again := p.encode(nil, f.Type, v); string(again) != string(raw) {
		t.Errorf("encoded again:\n got %x\nwant %x", again, raw)
	}
	if f.Type == TypePublish && PublishSize(v, &p.publish) != len(raw) {
		t.Errorf("%x: PublishSize %d, want %d", raw, PublishSize(v, &p.publish), len(raw))
	}
	return f.Type, p.print(f.Type)
}
