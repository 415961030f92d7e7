package node

import "testing"

// Memory is given back once, in the first quiet second after a busy one, and only
// where there is enough of it.
func TestThrift(t *testing.T) {
	const mib = 1 << 20
	var b thrift
	allocated := uint64(0)
	for i, s := range []struct {
		allocates, live, spare uint64
		want                   bool
	}{
		{100 * mib, 50 * mib, 60 * mib, false}, // busy
		{10 * mib, 50 * mib, 60 * mib, false},  // still busy
		{mib / 2, 50 * mib, 60 * mib, true},    // quiet
		{0, 50 * mib, 60 * mib, false},         // nothing new
		{mib / 2, 50 * mib, 90 * mib, false},   // quiet all the time
		{2 * mib, 50 * mib, 15 * mib, false},
		{0, 50 * mib, 15 * mib, false}, // too little
		{0, 50 * mib, 60 * mib, false}, // the busy time is over
		{9 * mib, 900 * mib, 100 * mib, false},
		{0, 900 * mib, 100 * mib, false}, // little beside what lives
		{9 * mib, 900 * mib, 300 * mib, false},
		{0, 900 * mib, 300 * mib, true},
	} {
		allocated += s.allocates
		if got := b.step(heap{allocated: allocated, live: s.live, spare: s.spare}); got != s.want {
			t.Errorf("step %d: %v, want %v", i, got, s.want)
		}
	}
}
