package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tombolo/internal/kv"
	"tombolo/metadata"
)

// runStore executes a command line with its own output, as main would.
func runStore(args ...string) (stdout, message string, code int) {
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(append([]string{"store"}, args...))
	if err := root.Execute(); err != nil {
		code, message = exitUsage, err.Error()
		if e, ok := errors.AsType[*exitError](err); ok {
			code = e.code
		}
	}
	return out.String(), message, code
}

// nodeData is the data directory of a node that wrote a little and stopped.
func nodeData(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	db, _, err := kv.OpenLevel(filepath.Join(dir, storeMetadata), kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := metadata.Open(db, metadata.Config{Node: 7})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	<-s.Running()
	for i := range 50 {
		done := make(chan error, 1)
		s.Put(metadata.TableConfig, fmt.Appendf(nil, "key%d", i), []byte("value"), func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStoreInspectAndVerify(t *testing.T) {
	dir := nodeData(t)
	out, message, code := runStore("inspect", "--data-dir", dir)
	if code != exitOK {
		t.Fatalf("inspect: exit %d, %s", code, message)
	}
	for _, want := range []string{"node", "7", "live keys", "50", "digest", "pending deletes", "lasting contexts", "database metadata"} {
		if !strings.Contains(out, want) {
			t.Errorf("inspect does not print %q:\n%s", want, out)
		}
	}
	if out, message, code = runStore("inspect", "--json", "--data-dir", dir); code != exitOK || !strings.Contains(out, `"live_keys": 50`) {
		t.Errorf("inspect --json: exit %d, %s\n%s", code, message, out)
	}
	if out, message, code = runStore("verify", "--data-dir", dir); code != exitOK || !strings.Contains(out, "sound") {
		t.Errorf("verify: exit %d, %s\n%s", code, message, out)
	}
}

func TestStoreVerifyFindsDamage(t *testing.T) {
	dir := nodeData(t)
	db, _, err := kv.OpenLevel(filepath.Join(dir, storeMetadata), kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b kv.Batch
	it := db.Iterator(kv.PrefixRange([]byte{'o'}))
	if !it.First() {
		t.Fatal("the store has no objects")
	}
	b.Delete(it.Key())
	it.Close()
	if err := errors.Join(db.Write(&b, true), db.Close()); err != nil {
		t.Fatal(err)
	}
	out, message, code := runStore("verify", "--data-dir", dir)
	if code != exitFailure || !strings.Contains(out, "I32") || !strings.Contains(message, "start the node") {
		t.Fatalf("a lost object: exit %d, %s\n%s", code, message, out)
	}
}

func TestStoreSaysWhatIsWrong(t *testing.T) {
	dir := nodeData(t)
	db, _, err := kv.OpenLevel(filepath.Join(dir, storeMetadata), kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, message, code := runStore("inspect", "--data-dir", dir)
	if code != exitEnvironment || !strings.Contains(message, fmt.Sprintf("process %d", os.Getpid())) || !strings.Contains(message, "API") {
		t.Errorf("a locked store: exit %d, %s", code, message)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, storeMetadata, "CURRENT")); err != nil {
		t.Fatal(err)
	}
	if _, message, code = runStore("verify", "--data-dir", dir); code != exitFailure || !strings.Contains(message, "CURRENT is missing") {
		t.Errorf("a damaged store: exit %d, %s", code, message)
	}
	if _, message, code = runStore("verify", "--data-dir", t.TempDir()); code != exitEnvironment || !strings.Contains(message, "holds no data") {
		t.Errorf("an empty directory: exit %d, %s", code, message)
	}
	if _, message, code = runStore("inspect", "--socket", filepath.Join(dir, "none")); code != exitUnreachable || !strings.Contains(message, "is the broker running") {
		t.Errorf("no node: exit %d, %s", code, message)
	}
}
