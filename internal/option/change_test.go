package option

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func defaults(t *testing.T) *Settings {
	t.Helper()
	return loadText(t, "")
}

func TestSet(t *testing.T) {
	s := defaults(t)
	before := s.current.Load()
	if err := s.Set("systree_interval", "5s"); err != nil {
		t.Fatal(err)
	}
	if got := s.Duration("systree_interval"); got != 5*time.Second || s.Origin("systree_interval").Kind != FromRuntime {
		t.Errorf("after Set: %v from %v", got, s.Origin("systree_interval"))
	}
	if before.values["systree_interval"].text != "20000" {
		t.Error("the old snapshot has changed")
	}
	for _, c := range []struct{ key, value, want string }{
		{"systree_intervall", "1", "nearest is systree_interval"},
		{"nodename", "x", "cannot be changed on a running node"},
		{"max_inflight_messages", "many", "not an integer"},
		{"max_inflight_messages", "-1", "outside 0 to 65535"},
	} {
		if err := s.Set(c.key, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Set(%s, %s) = %v, want an error with %q", c.key, c.value, err, c.want)
		}
	}
	if err := s.Set("nodename", "x"); !errors.Is(err, ErrNotReloadable) {
		t.Errorf("Set of a fixed option: %v", err)
	}
	if got := s.Int("max_inflight_messages"); got != 20 {
		t.Errorf("a refused change left %d behind", got)
	}
}

func TestChangesAreTold(t *testing.T) {
	s := defaults(t)
	var heard []string
	cancel := s.OnChange("max_online_messages", func(old, new string) {
		heard = append(heard, "one "+old+">"+new)
		if new == "1" { // a callback may set
			if err := s.Set("max_online_messages", "2"); err != nil {
				t.Error(err)
			}
		}
	})
	s.OnAnyChange(func(key, old, new string) { heard = append(heard, "any "+key+" "+old+">"+new) })
	for _, set := range [][2]string{{"max_online_messages", "1"}, {"max_online_messages", "2"}, {"log.level.mqtt", "debug"}} {
		if err := s.Set(set[0], set[1]); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := s.Set("max_online_messages", "3"); err != nil {
		t.Fatal(err)
	}
	want := "one 1000>1, any max_online_messages 1000>1, one 1>2, any max_online_messages 1>2, any log.level.mqtt info>debug, any max_online_messages 2>3"
	if got := strings.Join(heard, ", "); got != want {
		t.Errorf("heard %s\nwant %s", got, want)
	}
	if s.Text("log.level.mqtt") != "debug" || s.Text("log.level.queue") != "info" {
		t.Error("the level of a subsystem was not set, or another one's was")
	}
}

func TestTradeConsistency(t *testing.T) {
	s := loadText(t, "trade_consistency = on\nallow_publish_during_netsplit = majority\n")
	if s.Text("allow_register_during_netsplit") != "on" || s.Text("allow_publish_during_netsplit") != "majority" {
		t.Error("trade_consistency does not set what is unset, or sets what is set")
	}
	if got := s.Origin("allow_register_during_netsplit").String(); got != "follows from trade_consistency" {
		t.Errorf("origin %q", got)
	}
	if w := strings.Join(s.Warnings(), "\n"); !strings.Contains(w, "allow_publish_during_netsplit: stays as it is set") || strings.Contains(w, "allow_register") {
		t.Errorf("warnings %v", w)
	}
	if err := s.Set("trade_consistency", "on"); err != nil || s.Text("allow_publish_during_netsplit") != "on" {
		t.Errorf("at run time it does not set all four: %v", err)
	}
}

// Readers and writers at once; subscribers see an unbroken chain of changes.
func TestConcurrentSet(t *testing.T) {
	s := defaults(t)
	last, broken := "1000", ""
	s.OnChange("max_online_messages", func(old, new string) {
		if old != last {
			broken = fmt.Sprintf("%s follows %s", old, last)
		}
		last = new
	})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 100 {
				if err := s.Set("max_online_messages", fmt.Sprint(w*1000+i)); err != nil {
					t.Error(err)
				}
				_ = s.Int("max_online_messages")
				s.Each(func(Entry) bool { return false })
			}
		})
	}
	wg.Wait()
	if broken != "" {
		t.Error(broken)
	}
	if got := s.Text("max_online_messages"); got != last {
		t.Errorf("the last change heard is %s, the value is %s", last, got)
	}
}

func TestWrongReadsAreBugs(t *testing.T) {
	s := defaults(t)
	for name, f := range map[string]func(){
		"unknown key":  func() { s.Int("nonsense") },
		"wrong kind":   func() { s.Bool("nodename") },
		"subscription": func() { s.OnChange("nonsense", func(_, _ string) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.HasPrefix(r, "BUG:") {
					t.Errorf("recovered %q, want a panic that begins with BUG:", r)
				}
			}()
			f()
		})
	}
}

func TestUnsetReadsAsZero(t *testing.T) {
	s := defaults(t)
	if s.Bytes("leveldb.maximum_memory") != 0 || s.String("admin.socket") != "" || len(s.List("cluster.seeds")) != 0 || s.IsSet("admin.socket") {
		t.Error("what is unset does not read as zero")
	}
	if s.Duration("persistent_client_expiration") != Unlimited || s.Bytes("max_ws_frame_size") != 268435456 {
		t.Error("never is not Unlimited, or a size is not read")
	}
}
