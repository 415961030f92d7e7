package replica

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// TestKnown: what was read before is read as if it had not been, and our own clock and
// retired actors are told as they are, whatever they were when they were told last.
func TestKnown(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	r := &Replica{known: &known{}}
	var clocks []dvv.Clock
	for range 40 {
		var c dvv.Clock
		for range rng.IntN(6) {
			c = c.Add(dvv.Dot{Actor: dvv.Actor(1 + rng.IntN(3)), Counter: uint64(1 + rng.IntN(9))})
		}
		clocks = append(clocks, c)
	}
	var retired []Retired
	for range 5_000 {
		c := clocks[rng.IntN(len(clocks))]
		switch rng.IntN(4) {
		case 0:
			r.clock = c
		case 1:
			r.retired = retired
			r.sortRetired()
		case 2:
			retired = append(slices.Clone(retired[:rng.IntN(1+len(retired))]), Retired{Actor: dvv.Actor(1 + rng.Uint64N(1<<40)), Node: 3})
		}
		raw := c.Append(nil)
		frame := pack.AppendUint(appendRetired(pack.AppendBytes(nil, raw), retired), 5)
		rd := pack.NewReader(frame)
		clear(raw) // the reader keeps no part of what it was given
		got := r.known.readClock(&rd)
		list, sum := r.known.readRetired(&rd)
		if last := rd.Uint(); rd.End() != nil || last != 5 || !got.Equal(c) || !slices.Equal(list, retired) || sum != retiredSum(retired) {
			t.Fatalf("%v and %v are read as %v and %v (%v)", c, retired, got, list, rd.Err())
		}
		clear(frame)
		if told := r.clockBytes(); !bytes.Equal(told, r.clock.Append(nil)) {
			t.Fatalf("%v is told as %x", r.clock, told)
		}
		if told := r.retiredBytes(); !bytes.Equal(told, appendRetired(nil, r.retired)) || r.retiredSum() != retiredSum(r.retired) {
			t.Fatalf("%v is told as %x", r.retired, told)
		}
	}
	for _, b := range [][]byte{nil, {1}, {0, 0}, bytes.Repeat([]byte{1}, 40)} {
		rd := pack.NewReader(pack.AppendBytes(nil, b))
		if r.known.readClock(&rd); rd.Err() == nil {
			t.Errorf("%x is read as a clock", b)
		}
	}
}
