package queue

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tombolo/internal/kv"
)

// childVariable makes the test binary a process that stores messages in the
// directory it names until it is killed.
const childVariable = "TOMBOLO_QUEUE_CHILD"

// child opens two queues, delivers what it finds, and then stores messages as
// fast as it can. Each line it prints is something that it was told is durable:
// "stored 17 <body>", or "gone 17" for the acknowledgement of one in three.
func child(dir string) {
	db, _, err := kv.OpenLevel(dir, kv.Options{MemoryBudget: 4 << 20})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	s, err := OpenStore(db, StoreConfig{Fault: func(err error) { fmt.Println("error", err) }})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	go func() { _ = s.Run(context.Background()) }()
	// Only the completion goroutine and this one, before it appends, speak.
	say := func(format string, args ...any) { _, _ = fmt.Printf(format+"\n", args...) }
	a, st, _ := s.Open("a", false)
	say("opened %d %d", st.Count, st.Tail)
	b, _, _ := s.Open("b", false)
	slots := make(chan struct{}, 64)
	for i := 0; ; i++ {
		slots <- struct{}{}
		ev := &Event{Msg: &Message{ID: s.NextID(), QoS: 1}, Targets: []Target{{Queue: a, QoS: 1}, {Queue: b, QoS: 1}}}
		ev.Msg.Body = []byte(numbered(int(ev.Msg.ID.N), 50+i%300))
		s.Append(ev, func(err error) {
			<-slots
			if err != nil {
				say("error %v", err)
				return
			}
			seq := ev.Targets[0].Seq
			say("stored %d %s", seq, ev.Msg.Body)
			if seq%3 == 0 {
				s.Do(a, []Op{{Kind: OpAck, Seq: seq, N: 1, segment: ev.Msg.segment}}, nil)
				s.Barrier(func(err error) { say("gone %d %v", seq, err) })
			}
		})
	}
}

// TestKillOfARealProcess kills a process under load, several times, and looks
// each time whether all that it was told is true.
func TestKillOfARealProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	stored, gone := map[uint64]string{}, map[uint64]bool{}
	for round := range 3 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(pipe)
		for n := 0; lines.Scan(); n++ {
			hear(t, lines.Text(), stored, gone)
			if n == 1500+500*round {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		compareWithDisk(t, dir, round, stored, gone)
	}
	if len(stored) < 1000 || len(gone) < 100 {
		t.Errorf("only %d stored and %d gone: the test shows little", len(stored), len(gone))
	}
}

func hear(t *testing.T, line string, stored map[uint64]string, gone map[uint64]bool) {
	t.Helper()
	var seq uint64
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "stored":
		n, body, complete := strings.Cut(rest, " ")
		// The kill may have cut the last line.
		if _, err := fmt.Sscan(n, &seq); err == nil && complete && strings.HasPrefix(body, "message") {
			if _, twice := stored[seq]; twice {
				t.Errorf("sequence %d was given twice", seq)
			}
			stored[seq] = body
		}
	case "gone":
		if n, _, complete := strings.Cut(rest, " "); complete && strings.HasSuffix(rest, "<nil>") {
			_, _ = fmt.Sscan(n, &seq)
			gone[seq] = true
		}
	case "error":
		t.Errorf("child: %s", line)
	}
}

func compareWithDisk(t *testing.T, dir string, round int, stored map[uint64]string, gone map[uint64]bool) {
	t.Helper()
	db, _, err := kv.OpenLevel(dir, kv.Options{MemoryBudget: 4 << 20})
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	audit(t, db)
	s := start(t, db, StoreConfig{})
	for _, name := range []string{"a", "b"} {
		id, st := s.open(name)
		there := map[uint64]string{}
		for _, e := range s.all(id, st) {
			there[e.Seq] = string(e.Msg.Body)
		}
		if len(there) != st.Count {
			t.Errorf("round %d: %d messages, %d are counted", round, len(there), st.Count)
		}
		for seq, body := range stored {
			got, ok := there[seq]
			switch {
			case name == "a" && gone[seq] && ok:
				t.Errorf("round %d: %d came back", round, seq)
			case (name == "b" || seq%3 != 0) && !strings.HasPrefix(got, body):
				t.Errorf("round %d: %d of %s is %q, want %q", round, seq, name, got, body)
			}
		}
	}
	if err := s.end(); err != nil {
		t.Errorf("round %d: %v", round, err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("round %d: %v", round, err)
	}
}
