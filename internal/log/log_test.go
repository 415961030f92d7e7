package log

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func opened(t *testing.T, c Config) *Log {
	t.Helper()
	l := New(c)
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLevelsChangeAtRunTime(t *testing.T) {
	var out bytes.Buffer
	l := opened(t, Config{Console: &out, Level: LevelInfo, Levels: map[string]slog.Level{"link": LevelError}})
	mqtt, link := l.For("mqtt"), l.For("link").With("peer", "n2").WithGroup("g")
	mqtt.Debug("one")
	mqtt.Info("two")
	link.Warn("three")
	for _, set := range []struct {
		name  string
		level slog.Level
	}{{"", LevelError}, {"mqtt", LevelDebug}} {
		if err := l.SetLevel(set.name, set.level); err != nil {
			t.Fatal(err)
		}
	}
	mqtt.Debug("four")
	if err := l.ResetLevel("mqtt"); err != nil {
		t.Fatal(err)
	}
	mqtt.Warn("five")
	link.Error("six", "k", "v")
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		got = append(got, line[strings.Index(line, "level="):])
	}
	want := []string{
		"level=info msg=two sys=mqtt",
		"level=debug msg=four sys=mqtt",
		"level=error msg=six sys=link peer=n2 g.k=v",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := l.SetLevel("nobody", LevelInfo); err == nil {
		t.Fatal("an unknown subsystem was accepted")
	}
	if rows := l.Levels(); len(rows) != 3 || rows[1].Name != "link" || !rows[1].Own || rows[2].Own || rows[2].Level != LevelError {
		t.Fatalf("levels: %+v", rows)
	}
}

func TestErrorsGoToTheirFileAsWell(t *testing.T) {
	dir := t.TempDir()
	main, errs := filepath.Join(dir, "new", "console.log"), filepath.Join(dir, "error.log")
	l := opened(t, Config{Main: FileConfig{Path: main, Format: JSON}, Error: FileConfig{Path: errs}})
	log := l.For("store")
	log.Info("opened")
	log.Error("full", "path", "/x")
	log.Log(t.Context(), LevelCritical, "gone")
	lines := strings.Split(strings.TrimSpace(content(t, main)), "\n")
	if len(lines) != 3 {
		t.Fatalf("main log has %d lines, want 3: %q", len(lines), lines)
	}
	var last map[string]any
	if err := json.Unmarshal([]byte(lines[2]), &last); err != nil || last["level"] != "critical" || last["sys"] != "store" {
		t.Fatalf("last line %v, %v", last, err)
	}
	if got := content(t, errs); strings.Count(got, "\n") != 2 || strings.Contains(got, "opened") {
		t.Fatalf("error log: %q", got)
	}
}

func TestDisabledLineCostsNothing(t *testing.T) {
	l := opened(t, Config{Console: io.Discard, Level: LevelWarning})
	log := l.For("mqtt")
	if n := testing.AllocsPerRun(100, func() { log.Debug("no") }); n != 0 {
		t.Fatalf("%v allocations, want none", n)
	}
}

func TestRotationKeepsWhatItShould(t *testing.T) {
	for _, packed := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "console.log")
		l := opened(t, Config{Main: FileConfig{Path: path, Rotation: Rotation{SizeBytes: 1, Keep: 2, Compress: packed}}})
		log := l.For("x")
		for _, m := range []string{"first", "second", "third", "fourth"} {
			log.Info(m)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		read := func(name string) string { return content(t, name) }
		suffix := ""
		if packed {
			suffix = ".gz"
			read = func(name string) string { return unpacked(t, name) }
		}
		if !strings.Contains(content(t, path), "fourth") || !strings.Contains(read(path+".1"+suffix), "third") ||
			!strings.Contains(read(path+".2"+suffix), "second") {
			t.Fatalf("packed %v: the files are out of order", packed)
		}
		names, _ := filepath.Glob(path + "*")
		if len(names) != 3 {
			t.Fatalf("packed %v: files %q, want three", packed, names)
		}
	}
}

func unpacked(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReopenFollowsTheName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console.log")
	l := opened(t, Config{Main: FileConfig{Path: path}})
	log := l.For("x")
	log.Info("before")
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	log.Info("between")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	log.Info("after")
	if old := content(t, path+".moved"); strings.Count(old, "\n") != 2 {
		t.Fatalf("moved file: %q", old)
	}
	if fresh := content(t, path); strings.Count(fresh, "\n") != 1 || !strings.Contains(fresh, "after") {
		t.Fatalf("new file: %q", fresh)
	}
}

func TestConcurrentLinesSurviveRotationAndReopen(t *testing.T) {
	const workers, each = 4, 200
	path := filepath.Join(t.TempDir(), "console.log")
	l := opened(t, Config{Main: FileConfig{Path: path, Format: JSON, Rotation: Rotation{SizeBytes: 4096, Keep: 1000}}})
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			log := l.For("x")
			for i := range each {
				log.Info("line", "i", i)
				if i%50 == 0 {
					if err := l.Reopen(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	names, _ := filepath.Glob(path + "*")
	total := 0
	for _, name := range names {
		for _, line := range strings.Split(strings.TrimSpace(content(t, name)), "\n") {
			if !json.Valid([]byte(line)) {
				t.Fatalf("%s holds a broken line %q", name, line)
			}
			total++
		}
	}
	if total != workers*each || len(names) < 2 || l.Lost() != 0 {
		t.Fatalf("%d lines in %d files, %d lost; want %d in several", total, len(names), l.Lost(), workers*each)
	}
}

// fullDisk refuses every line.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestLostLinesAreCounted(t *testing.T) {
	l := opened(t, Config{Console: fullDisk{}})
	l.For("x").Info("one")
	l.For("y").Error("two")
	if l.Lost() != 2 {
		t.Fatalf("lost %d, want 2", l.Lost())
	}
	bad := New(Config{Main: FileConfig{Path: filepath.Join(os.DevNull, "x.log")}})
	if err := bad.Open(); err == nil {
		t.Fatal("a path under /dev/null was opened")
	}
}

func TestLimiter(t *testing.T) {
	var out bytes.Buffer
	log := opened(t, Config{Console: &out}).For("mqtt")
	now := time.Unix(1000, 0)
	lim := NewLimiter(10*time.Second, 2, func() time.Time { return now })
	write := func(key string) { lim.Log(log, LevelInfo, key, key) }
	write("a")
	write("a")
	write("b")
	write("c") // no room: the shared line
	write("d") // no room either: suppressed
	now = now.Add(10 * time.Second)
	write("a")
	write("e") // sweeps
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		got = append(got, line[strings.Index(line, "msg="):])
	}
	want := "msg=a sys=mqtt|msg=b sys=mqtt|msg=c sys=mqtt|msg=a sys=mqtt suppressed=1|msg=e sys=mqtt"
	if strings.Join(got, "|") != want {
		t.Fatalf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
	for i := range 1000 {
		lim.Allow(strings.Repeat("x", i))
	}
	if n := len(lim.mu.keys); n > 3 {
		t.Fatalf("%d keys remembered, want at most the bound and the shared one", n)
	}
}

func TestLevelNames(t *testing.T) {
	for _, l := range levelNames {
		got, err := ParseLevel(strings.ToUpper(l.name))
		if err != nil || got != l.level || LevelName(got) != l.name {
			t.Errorf("%s: %v, %v, %s", l.name, got, err, LevelName(got))
		}
	}
	if LevelName(LevelDebug-4) != "debug" || LevelName(LevelError+1) != "error" {
		t.Error("a level between two names takes the lower one")
	}
	if _, err := ParseLevel("loud"); err == nil || !strings.Contains(err.Error(), "emergency") {
		t.Errorf("an unknown level must name the known ones: %v", err)
	}
	if _, err := ParseFormat("xml"); err == nil {
		t.Error("xml was taken as a format")
	}
}
