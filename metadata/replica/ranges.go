package replica

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// Digests by range (R32). The digest of a store is carried on from write to write: it
// says what the disk ought to hold, and a disk that changed behind our back goes unseen;
// two stores that went apart see it by their digests once their clocks are the same,
// which under writes that never pause is perhaps never. So each store asks each peer from
// time to time to read everything anew, and both compare at a common cut: what both had
// seen when each took its snapshot. The keys fall into 64 ranges by hash; both sum up
// each range, without the keys in which one of them has something from beyond the cut.
//
//	asker                        other
//	ranges(clock)      ────────►  snapshot
//	                   ◄────────  cut(clock)     and both read
//	touched(names)     ────────►
//	                   ◄────────  sums(digests, names, sound)
//	mend(ranges)       ────────►                 none: done with it
//	                   ◄────────  mended(records)
//
// Where sums differ, a disk that does not hold what its own digest says is the one at
// fault: the asker's is mended, key by key; the other one finds out by itself, and asks in
// its turn. If both hold what they ought to, the two have gone apart, by a fault of ours or
// by a join from a disk that had lost something: each takes what the other one has more.

// The bounds of a comparison.
const (
	rangesAgain   = 2 * time.Second  // after an answer did not come, or something was mended
	rangesBusy    = 30 * time.Second // after too much was touched: it has cost a reading
	rangesAgeMax  = 5 * time.Minute  // then a comparison is given up: it holds a snapshot
	frameTypesMax = frameMended      // the highest type of frame that this build knows
)

// ranging is one side of a comparison. Owned by the Replica: of the asker, or of the
// peer that asked.
type ranging struct {
	reading
	round  uint64
	began  time.Time     // when the last step was made, and
	took   time.Duration // how long the reading was
	row    dvv.Clock     // what the other side was known to have: what was collected here by then it must have
	agreed bool          // the other one has taken its snapshot
	theirs *rangeSums
	sure   bool            // its disk holds what its digest says
	left   []mark          // what the asker has touched, and
	heard  bool            // that this has come
	mask   uint64          // the ranges that are mended
	union  bool            // nothing is given up for what is taken over
	cursor []byte          // up to there
	noted  map[uint64]bool // hashes of names that changed since and may look as they did
	blind  bool            // there were too many of them
}

func (g *ranging) close() {
	if g != nil {
		g.reading.close()
	}
}

// note keeps that name changed in a way which its record may not tell.
func (g *ranging) note(name []byte) {
	if g == nil || g.blind {
		return
	}
	if g.blind = len(g.noted) == notedMax; g.blind {
		g.noted = nil
		return
	}
	if g.noted == nil {
		g.noted = map[uint64]bool{}
	}
	g.noted[xxhash.Sum64(name)] = true
}

// patience is how long the next step may take.
func (g *ranging) patience() time.Duration {
	switch {
	case !g.agreed:
		return transferStalled
	case g.done: // a frame may be lost; the other side has as much to read
		return snapshotAgeMax + g.took
	}
	return rangesAgeMax
}

// openRanging takes the snapshot of a comparison with p.
func (r *Replica) openRanging(now time.Time, p *peer, round uint64) (*ranging, error) {
	g := &ranging{round: round, began: now, row: p.row}
	if err := r.openReading(&g.reading); err != nil {
		return nil, err
	}
	return g, nil
}

// tickRanges begins the comparison that is due, and reads on for those under way.
func (r *Replica) tickRanges(now time.Time) {
	for _, p := range r.peers {
		switch g := p.served; {
		case g == nil:
		case now.Sub(g.began) > g.patience():
			p.endRanges()
		case r.readRanges(now, p, g):
			r.sendSums(p)
		}
	}
	if g := r.ranging; g != nil {
		p := r.peer(r.rangingWith)
		switch {
		case p == nil || !p.established() || now.Sub(g.began) > g.patience():
			r.endRanging(now, rangesAgain)
		case !g.agreed || !r.readRanges(now, p, g):
		case g.crowded():
			r.endRanging(now, rangesBusy)
		default:
			f := pack.AppendUint(p.header(r, frameTouched), g.round)
			r.send(p, appendMarks(f, g.marks()))
		}
		return
	}
	if r.phase != Serving || r.join != nil {
		return
	}
	for _, p := range r.peers {
		if p.established() && p.frames >= frameTypesMax && !now.Before(p.rangesAt) {
			r.askRanges(now, p)
			return
		}
	}
}

// askRanges begins a comparison with p.
func (r *Replica) askRanges(now time.Time, p *peer) {
	g, err := r.openRanging(now, p, r.nextID())
	if err != nil {
		r.event(Event{Kind: EventDamaged, Text: "ranges: " + err.Error()})
		p.rangesAt = now.Add(r.config.RangesEvery)
		return
	}
	r.ranging, r.rangingWith = g, p.id
	f := pack.AppendUint(p.header(r, frameRanges), g.round)
	var room [vectorRoom]byte
	r.send(p, pack.AppendBytes(f, g.clock.Append(room[:0])))
}

// endRanging lets go of the comparison that we asked for; the next one with the same
// peer is due after that long.
func (r *Replica) endRanging(now time.Time, again time.Duration) {
	if p := r.peer(r.rangingWith); p != nil {
		p.rangesAt = now.Add(again)
	}
	r.ranging.close()
	r.ranging = nil
}

// meets says whether a clock of p has all that is not to be found here any more: what was
// collected since p was known to have it, and what was collected without p's knowledge.
func (r *Replica) meets(p *peer, row, clock dvv.Clock) bool {
	return clock.Descends(row) && clock.DescendsUpTo(p.need, r.clock)
}

// rangesAsked is that p wants to compare.
func (r *Replica) rangesAsked(now time.Time, p *peer, rd *pack.Reader) {
	round, clock := rd.Uint(), r.known.readClock(rd)
	if rd.Err() != nil {
		return
	}
	p.endRanges()
	f := pack.AppendUint(p.header(r, frameCut), round)
	g, err := r.openRanging(now, p, round)
	if err != nil || r.phase != Serving || r.join != nil || !r.meets(p, g.row, clock) {
		if err == nil {
			g.close()
		}
		r.send(p, pack.AppendBytes(f, nil))
		return
	}
	p.served, g.agreed = g, true
	g.reading.begin(clock)
	var room [vectorRoom]byte
	r.send(p, pack.AppendBytes(f, g.clock.Append(room[:0])))
}

// cutCame is p's clock in its snapshot, or nil: not now.
func (r *Replica) cutCame(now time.Time, p *peer, rd *pack.Reader) {
	round, raw := rd.Uint(), rd.Bytes()
	g := r.ranging
	if rd.Err() != nil || g == nil || r.rangingWith != p.id || g.round != round || g.agreed {
		return
	}
	clock, rest, err := r.known.decode(raw)
	if raw == nil || err != nil || len(rest) > 0 || !r.meets(p, g.row, clock) {
		r.endRanging(now, rangesAgain)
		return
	}
	g.agreed, g.began = true, now
	g.reading.begin(clock)
}

// readRanges reads a piece of g's snapshot and says whether that was the last one.
func (r *Replica) readRanges(now time.Time, p *peer, g *ranging) bool {
	last, err := g.step()
	if err != nil {
		r.event(Event{Kind: EventDamaged, Peer: p.id, Text: "ranges: " + err.Error()})
	}
	if last {
		g.took, g.began = now.Sub(g.began), now
	}
	return last
}

// touchedCame is what the asker has touched.
func (r *Replica) touchedCame(now time.Time, p *peer, rd *pack.Reader) {
	round, names := rd.Uint(), readMarks(rd)
	g := p.served
	if rd.Err() != nil || g == nil || g.round != round || g.heard {
		return
	}
	g.left, g.heard, g.began = names, true, now
	r.sendSums(p)
}

// sendSums tells p what was summed up, once it is known what to leave out; nil if too
// much was touched. Who does not hold what its own digest says compares at once.
func (r *Replica) sendSums(p *peer) {
	g := p.served
	if !g.done || !g.heard {
		return
	}
	if !g.sound() {
		p.rangesAt = time.Time{}
	}
	f := pack.AppendUint(p.header(r, frameSums), g.round)
	ours := g.marks()
	r.spreadLasting(p, &g.reading, g.left)
	if err := g.leaveOut(g.left); err != nil || g.crowded() {
		r.send(p, pack.AppendBool(appendMarks(pack.AppendBytes(f, nil), nil), false))
		p.endRanges()
		return
	}
	sums := make([]byte, 0, 8*rangeCount)
	for _, v := range g.sums {
		sums = binary.BigEndian.AppendUint64(sums, v)
	}
	r.send(p, pack.AppendBool(appendMarks(pack.AppendBytes(f, sums), ours), g.sound()))
}

// sumsCame is p's answer.
func (r *Replica) sumsCame(now time.Time, p *peer, rd *pack.Reader) {
	round, sums, names, sure := rd.Uint(), rd.Bytes(), readMarks(rd), rd.Bool()
	g := r.ranging
	if rd.Err() != nil || g == nil || r.rangingWith != p.id || g.round != round || !g.done || g.theirs != nil {
		return
	}
	r.spreadLasting(p, &g.reading, names)
	if len(sums) != 8*rangeCount || g.leaveOut(names) != nil {
		r.endRanging(now, rangesBusy)
		return
	}
	g.theirs, g.sure = &rangeSums{}, sure
	for i := range g.theirs {
		g.theirs[i] = binary.BigEndian.Uint64(sums[8*i:])
	}
	r.compareRanges(now, p)
}

// compareRanges says which side is at fault, and what is to be done.
func (r *Replica) compareRanges(now time.Time, p *peer) {
	g := r.ranging
	for i := range g.sums {
		if g.sums[i] != g.theirs[i] || g.bad>>i&1 == 1 {
			g.mask |= 1 << i
			r.event(Event{Kind: EventRange, Peer: p.id, Text: fmt.Sprintf("range %d of %d: %016x here, %016x there", i, rangeCount, g.sums[i], g.theirs[i])})
		}
	}
	apart := g.mask != 0 && g.sound() && g.sure
	switch {
	case g.mask == 0:
		r.askMend(p) // of nothing: p may let go of its snapshot
		r.rightDisk(now, p)
	case apart && p.apart:
		r.event(Event{Kind: EventDigest, Peer: p.id, Text: "both stores hold what they ought to, and not the same"})
		g.union = true
		r.askMend(p)
	case apart: // only if it lasts
		r.endRanging(now, rangesAgain)
	case !g.sure || g.sound():
		r.endRanging(now, r.config.RangesEvery) // it is the other side's disk, or both: that one asks a third
	default:
		r.askMend(p)
	}
	p.apart = apart && !p.apart
}

// suspicion is that the disk is right and the digest is off it: something was lost from
// the disk, and then written or deleted as if it had never been there. Immutable.
type suspicion struct {
	off     Delta
	touched map[string]uint64 // as of the reading
}

// rightDisk ends a comparison that found nothing. Is our digest off the disk all the same,
// and was in the comparison before, by as much, of which this one has compared all that
// was left out there, then every key was found right: the digest follows the disk.
func (r *Replica) rightDisk(now time.Time, p *peer) {
	g, was := r.ranging, r.suspicion
	r.suspicion = nil
	if g.sound() {
		r.compared++
		r.endRanging(now, r.config.RangesEvery)
		return
	}
	if was == nil || was.off != g.off() || anyIn(was.touched, g.touched) {
		r.suspicion = &suspicion{off: g.off(), touched: g.touched}
	} else {
		r.digest, r.live, r.dirty.state = r.digest^was.off.Digest, r.live+was.off.Live, true
		r.event(Event{Kind: EventMended, Peer: p.id, Text: fmt.Sprintf("the digest was off by %016x, the count by %d", was.off.Digest, was.off.Live)})
	}
	r.endRanging(now, rangesAgain)
}

// anyIn says whether a key was left out both times.
func anyIn(a, b map[string]uint64) bool {
	for name, lasting := range a {
		if l, there := b[name]; there && l == 0 && lasting == 0 {
			return true
		}
	}
	return false
}

// askMend asks p for the records of the ranges that differ.
func (r *Replica) askMend(p *peer) {
	g := r.ranging
	f := pack.AppendUint(pack.AppendUint(p.header(r, frameMend), g.round), g.mask)
	r.send(p, pack.AppendBytes(f, g.cursor))
}

// Compared is how many comparisons by range found nothing, for a shell that counts.
func (r *Replica) Compared() uint64 { return r.compared }

// endRanges lets go of the comparison that p asked for.
func (p *peer) endRanges() {
	p.served.close()
	p.served = nil
}
