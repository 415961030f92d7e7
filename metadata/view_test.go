package metadata

import (
	"fmt"
	"testing"

	"tombolo/internal/kv"
)

// A view serves many filters, and shows what was retained when it was made.
func TestRetainedView(t *testing.T) {
	s := open(t, kv.OpenMemory(), Config{})
	match := func(v *RetainedView, filter string) string {
		got := []string{}
		if err := v.Match(filter, "", 0, func(topic string, r *Retained) bool { got = append(got, topic); return len(got) < 3 }); err != nil {
			t.Fatalf("filter %q: %v", filter, err)
		}
		return fmt.Sprint(got)
	}
	view := func() *RetainedView {
		v, err := s.ViewRetained("m")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		return v
	}
	s.PutRetained("other", "a/b", &Retained{Payload: []byte("x")}, nil)
	empty := view()
	done, after := wait(t)
	for _, topic := range []string{"a/b", "a/c", "b", "a/b/c"} {
		s.PutRetained("m", topic, &Retained{Payload: []byte("x")}, done)
		done, after = func() (func(error), func()) { after(); return wait(t) }()
	}
	full := view()
	s.DeleteRetained("m", "b", done)
	after()
	for _, c := range []struct{ filter, want string }{
		{"#", "[a/b a/b/c a/c]"}, {"b", "[b]"}, {"a/+", "[a/b a/c]"}, {"a/b/#", "[a/b a/b/c]"}, {"c", "[]"}, {"a/c", "[a/c]"},
	} {
		if got := match(full, c.filter); got != c.want {
			t.Errorf("filter %q: %s, want %s", c.filter, got, c.want)
		}
		if got := match(empty, c.filter); got != "[]" {
			t.Errorf("filter %q: %s in a view that was made before", c.filter, got)
		}
	}
	if got := match(view(), "b"); got != "[]" {
		t.Errorf("what was cleared is in a later view: %s", got)
	}
}
