package metadata

import (
	"context"
	"fmt"
	"testing"

	"tombolo/internal/kv"
)

// open makes a running store on db that ends with the test.
func open(t *testing.T, db kv.DB, c Config) *Store {
	t.Helper()
	if c.Node == 0 {
		c.Node = 1
	}
	s, err := Open(db, c)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(context.Background()) }()
	<-s.Running()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// wait returns a done function and a function that waits for its call.
func wait(t *testing.T) (done func(error), after func()) {
	ch := make(chan error, 1)
	return func(err error) { ch <- err }, func() {
		t.Helper()
		if err := <-ch; err != nil {
			t.Fatalf("write: %v", err)
		}
	}
}

// TestMatchRetained: what a filter matches, in order; what has expired is filtered as it
// is read (R31).
func TestMatchRetained(t *testing.T) {
	s := open(t, kv.OpenMemory(), Config{})
	topics := []string{"a", "a/b", "a/b/c", "a/d", "a!", "a\x01/x", "/a", "/", "b/b", "b/c/d", "$SYS/a", "$SYS", "c//d"}
	for _, topic := range topics {
		s.PutRetained("", topic, &Retained{Payload: []byte(topic)}, nil)
	}
	s.PutRetained("other", "a/b", &Retained{Payload: []byte("x")}, nil)
	done, after := wait(t)
	s.PutRetained("", "a/expired", &Retained{ExpiresAt: 5}, done)
	after()
	for _, c := range []struct{ filter, want string }{
		{"#", "[/ /a a a/b a/b/c a/d a\x01/x a! b/b b/c/d c//d]"},
		{"a/#", "[a a/b a/b/c a/d]"},
		{"a", "[a]"}, {"a/+", "[a/b a/d]"}, {"+", "[a a!]"}, {"+/+", "[/ /a a/b a/d a\x01/x b/b]"},
		{"+/b", "[a/b b/b]"}, {"+/b/#", "[a/b a/b/c b/b]"}, {"/+", "[/ /a]"}, {"/#", "[/ /a]"},
		{"$SYS/#", "[$SYS $SYS/a]"}, {"$SYS/+", "[$SYS/a]"}, {"+/a", "[/a]"}, {"c/+/d", "[c//d]"}, {"c//d", "[c//d]"},
		{"none/#", "[]"}, {"b/+/+", "[b/c/d]"},
	} {
		got := []string{}
		err := s.MatchRetained("", c.filter, 10, func(topic string, v *Retained) bool {
			if topic != string(v.Payload) {
				t.Errorf("filter %q: topic %q has the payload of %q", c.filter, topic, v.Payload)
			}
			got = append(got, topic)
			return true
		})
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("filter %q: got %v, %v; want %v", c.filter, got, err, c.want)
		}
		for i, after := range got {
			if rest := s.matchAfter(t, c.filter, after); fmt.Sprint(rest) != fmt.Sprint(got[i+1:]) {
				t.Errorf("filter %q behind %q: got %q, want %q", c.filter, after, rest, got[i+1:])
			}
		}
	}
	if got := s.matchAfter(t, "+/#", "a/cleared"); fmt.Sprint(got) != "[a/d a\x01/x a! b/b b/c/d c//d]" {
		t.Errorf("behind a topic that is not there any more: %q", got)
	}
}

// matchAfter lists the topics behind one.
func (s *Store) matchAfter(t *testing.T, filter, after string) []string {
	t.Helper()
	v, err := s.ViewRetained("")
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	got := []string{}
	if err := v.Match(filter, after, 10, func(topic string, _ *Retained) bool { got = append(got, topic); return true }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReadYourWrites(t *testing.T) {
	s, err := Open(kv.OpenMemory(), Config{Node: 1})
	if err != nil {
		t.Fatal(err)
	}
	k := ClientKey{Mountpoint: "m", ClientID: "c"}
	s.PutSession(k, &Session{Home: 7, Username: "u", Will: &Will{Topic: "w"}}, nil)
	v, ok, err := s.GetSession(k)
	if err != nil || !ok || v.Home != 7 || v.Will.Topic != "w" {
		t.Fatalf("before any commit: got %+v, %v, %v", v, ok, err)
	}
	s.PutSubscription(k, "a/b", &Subscription{QoS: 1}, nil)
	s.PutSubscription(k, "a/c", &Subscription{QoS: 1}, nil)
	s.DeleteSubscription(k, "a/b", nil)
	var got []string
	s.ClientSubscriptions(k, func(f string, _ *Subscription) bool { got = append(got, f); return true })
	if fmt.Sprint(got) != "[a/c]" {
		t.Fatalf("subscriptions before any commit: %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
