package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tombolo/internal/kv"
	"tombolo/internal/wire"
	"tombolo/queue"
)

// nodeDir makes the data directory of a node with two queues: q1 with so many
// messages of which every fourth has expired, and q2 with one.
func nodeDir(t *testing.T, messages int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, idFile), []byte("00000000000000a1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	meta, _, err := kv.OpenLevel(filepath.Join(dir, metadataDir), kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db, _, err := kv.OpenLevel(filepath.Join(dir, messagesDir), kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := queue.OpenStore(db, queue.StoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- store.Run(ctx) }()
	q1, _, err := store.OpenGeneration("\x00q1", 7, true)
	if err != nil {
		t.Fatal(err)
	}
	q2, _, err := store.OpenGeneration("m\x00q2", 8, true)
	if err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, messages)
	for i := range messages {
		m := &queue.Message{ID: store.NextID(), QoS: 1, Body: fmt.Append(nil, i)}
		if i%4 == 3 {
			m.ExpiresAt = time.Now().UnixMilli() - 1
		}
		to := []queue.Target{{Queue: q1, QoS: 1}}
		if i == 0 {
			to = append(to, queue.Target{Queue: q2, QoS: 1})
		}
		store.Append(&queue.Event{Msg: m, Targets: to}, func(err error) { stored <- err })
	}
	for range messages {
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := errors.Join(<-ran, db.Close(), meta.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// target takes parts in, and fails from one of them on.
type target struct {
	t      *testing.T
	left   int // parts until it fails
	got    []string
	client wire.Client
}

var errFull = errors.New("no more")

func (g *target) put(_ context.Context, part []byte) error {
	if g.left--; g.left < 0 {
		return errFull
	}
	var m wire.Migration
	if err := wire.ParseMigration(part, &m); err != nil {
		g.t.Fatal(err)
	}
	if m.Generation == 0 {
		g.t.Error("packet ids were given")
	}
	g.client = m.Client
	for i := range m.Records {
		g.got = append(g.got, string(m.Records[i].Body))
	}
	return nil
}

func open(t *testing.T, dir string) *Holding {
	t.Helper()
	h, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestPass: what was passed on is gone, and the rest is passed on by the next run,
// in order, without what has expired; the other queue is left alone.
func TestPass(t *testing.T) {
	const messages = 3 * partCountMax
	dir := nodeDir(t, messages)
	h := open(t, dir)
	if h.Node() != "00000000000000a1" {
		t.Errorf("node %s", h.Node())
	}
	list, _, err := h.Queues()
	if err != nil || len(list) != 2 || list[0] != (Queue{"", "q1", messages, 0}) || list[1] != (Queue{"m", "q2", 1, 0}) {
		t.Fatalf("queues %v, %v", list, err)
	}
	g := &target{t: t, left: 1}
	out, err := h.Pass(t.Context(), list[0], g.put)
	if !errors.Is(err, errFull) || out.Passed != len(g.got) || out.Passed == 0 {
		t.Fatalf("%+v, %v after %d messages", out, err, len(g.got))
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	h = open(t, dir)
	if again, _, err := h.Queues(); err != nil || again[0].Messages != messages-partCountMax {
		t.Fatalf("after a part: %v, %v", again, err)
	}
	g.left = 100
	more, err := h.Pass(t.Context(), list[0], g.put)
	if err != nil || out.Passed+more.Passed != messages*3/4 || out.Expired+more.Expired != messages/4 {
		t.Fatalf("%+v and %+v, %v", out, more, err)
	}
	for i, body := range g.got {
		if want := fmt.Sprint(i/3*4 + i%3); body != want {
			t.Fatalf("message %d is %s, want %s", i, body, want)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	h = open(t, dir)
	if rest, _, err := h.Queues(); err != nil || len(rest) != 1 || rest[0] != list[1] {
		t.Fatalf("at the end: %v, %v", rest, err)
	}
	if err := h.Discard(list[1]); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir)
	if rest, _, err := h.Queues(); err != nil || len(rest) != 0 {
		t.Fatalf("after it was discarded: %v, %v", rest, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpenRefuses: a directory without data is not made one, and one that is in use
// is left alone.
func TestOpenRefuses(t *testing.T) {
	empty := t.TempDir()
	if _, err := Open(empty); !errors.Is(err, ErrNoData) {
		t.Errorf("an empty directory: %v", err)
	}
	if left, _ := os.ReadDir(empty); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	dir := nodeDir(t, 4)
	h := open(t, dir)
	if _, err := Open(dir); !errors.Is(err, kv.ErrLocked) {
		t.Errorf("a directory in use: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}
