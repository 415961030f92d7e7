package replica

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"tombolo/internal/kv"
	"tombolo/metadata/internal/pack"
)

// Digests by range (R32). The digest of a store is carried on from write to write: it
// says what the disk ought to hold, and a disk that changed behind our back goes
// unseen. So each store asks each peer from time to time to read everything anew, at a
// common cut: both take a snapshot while their clocks and digests are the same, and
// nothing is under way. The keys fall into 64 ranges by hash; both sum up each range,
// and the asker compares. Where sums differ, one of the two does not hold what its own
// digest says. If it is the asker, it has the other send those ranges, and takes over
// the records in which its disk differs and that were not written since. If it is the
// other one, that one finds out by its own sums, and asks in its turn.

// The bounds of a comparison.
const (
	rangeCount    = 64
	rangesKeysMax = 4096            // read in one Tick, so that a million keys take 13 s and no write waits
	rangesAgain   = 2 * time.Second // after the clocks were not the same
	rangesAgeMax  = 5 * time.Minute // then a comparison is given up: it holds a snapshot
	frameTypesMax = frameMended     // the highest type of frame that this build knows
)

// rangeSums is a digest for each range. Immutable once sent.
type rangeSums [rangeCount]uint64

func rangeOf(name []byte) int { return int(xxhash.Sum64(name) >> 58) }

// total is the digest of all.
func (s *rangeSums) total() (sum uint64) {
	for _, v := range s {
		sum ^= v
	}
	return sum
}

// ranging is one side of a comparison. Owned by the Replica: of the asker, or of the
// peer that asked.
type ranging struct {
	round    uint64
	began    time.Time     // when the last step was made, and
	took     time.Duration // how long the reading was
	snapshot kv.Snapshot
	clock    uint64 // hash of the clock in it,
	digest   uint64 // and the digest
	agreed   bool   // the other one has the same cut
	it       kv.Iterator
	sums     rangeSums
	done     bool // all is read
	theirs   *rangeSums
	mask     uint64 // the ranges that are mended
	cursor   []byte // up to there
}

func (g *ranging) close() {
	if g == nil {
		return
	}
	if g.it != nil {
		g.it.Close()
	}
	g.snapshot.Release()
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

// openRanging takes the snapshot of a comparison.
func (r *Replica) openRanging(now time.Time, round uint64) (*ranging, error) {
	snapshot, err := r.view.Snapshot()
	if err != nil {
		return nil, err
	}
	raw, err := snapshot.Get(metaState)
	var s state
	if err == nil {
		s, err = decodeState(raw)
	}
	if err != nil {
		snapshot.Release()
		return nil, err
	}
	return &ranging{round: round, began: now, snapshot: snapshot, clock: clockHash(s.clock), digest: s.digest}, nil
}

// tickRanges begins the comparison that is due, and reads on for those under way.
func (r *Replica) tickRanges(now time.Time) {
	for _, p := range r.peers {
		switch g := p.served; {
		case g == nil:
		case now.Sub(g.began) > g.patience():
			p.endRanges()
		case r.readRanges(now, p, g):
			r.sendSums(p, g)
		}
	}
	if g := r.ranging; g != nil {
		p := r.peer(r.rangingWith)
		switch {
		case p == nil || !p.established() || now.Sub(g.began) > g.patience():
			r.endRanging(now, rangesAgain)
		case g.agreed && r.readRanges(now, p, g):
			r.compareRanges(now, p)
		}
		return
	}
	if r.phase != Serving || r.join != nil || !r.clock.Equal(r.durable) {
		return
	}
	for _, p := range r.peers {
		if p.established() && p.frames >= frameTypesMax && p.incoming == nil && !now.Before(p.rangesAt) && p.clock.Equal(r.clock) {
			r.askRanges(now, p)
			return
		}
	}
}

// askRanges begins a comparison with p.
func (r *Replica) askRanges(now time.Time, p *peer) {
	g, err := r.openRanging(now, r.nextID())
	if err != nil {
		r.event(Event{Kind: EventDamaged, Text: "ranges: " + err.Error()})
		p.rangesAt = now.Add(r.config.RangesEvery)
		return
	}
	r.ranging, r.rangingWith = g, p.id
	f := pack.AppendUint(p.header(r, frameRanges), g.round)
	r.send(p, pack.AppendUint(pack.AppendUint(f, g.clock), g.digest))
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

// rangesAsked is that p wants to compare.
func (r *Replica) rangesAsked(now time.Time, p *peer, rd *pack.Reader) {
	round, clock, digest := rd.Uint(), rd.Uint(), rd.Uint()
	if rd.Err() != nil {
		return
	}
	p.endRanges()
	g, err := r.openRanging(now, round)
	if err != nil || r.phase != Serving || g.clock != clock || g.digest != digest {
		if err == nil {
			g.close()
		}
		r.send(p, pack.AppendBytes(pack.AppendUint(p.header(r, frameSums), round), nil))
		return
	}
	p.served, g.agreed = g, true
	r.send(p, pack.AppendBytes(pack.AppendUint(p.header(r, frameSums), round), []byte{})) // the same cut; sums follow
}

// readRanges reads a piece of g's snapshot and says whether that was the last one.
func (r *Replica) readRanges(now time.Time, p *peer, g *ranging) bool {
	if g.done {
		return false
	}
	if g.it == nil {
		g.it = g.snapshot.Iterator(kv.PrefixRange([]byte{AreaObject}))
	}
	for range rangesKeysMax {
		if !g.it.Next() {
			if err := g.it.Err(); err != nil {
				r.event(Event{Kind: EventDamaged, Peer: p.id, Text: "ranges: " + err.Error()})
			}
			g.done, g.took, g.began = true, now.Sub(g.began), now
			return true
		}
		name := g.it.Key()[1:]
		if o, err := decodeObject(g.it.Value()); err == nil { // else it is missing in the sums
			g.sums[rangeOf(name)] ^= contribution(r.config.Policy, name, o)
		}
	}
	return false
}

// sendSums tells p what was summed up. Who does not hold what its own digest says
// compares at once.
func (r *Replica) sendSums(p *peer, g *ranging) {
	sums := make([]byte, 0, 8*rangeCount)
	for _, v := range g.sums {
		sums = binary.BigEndian.AppendUint64(sums, v)
	}
	r.send(p, pack.AppendBytes(pack.AppendUint(p.header(r, frameSums), g.round), sums))
	if g.sums.total() != g.digest {
		p.rangesAt = time.Time{}
	}
}

// sumsCame is p's answer: nil is that it has another cut, no bytes that it has the
// same, and then the sums.
func (r *Replica) sumsCame(now time.Time, p *peer, rd *pack.Reader) {
	round, sums := rd.Uint(), rd.Bytes()
	g := r.ranging
	if rd.Err() != nil || g == nil || r.rangingWith != p.id || g.round != round || len(sums) > 0 && len(sums) != 8*rangeCount {
		return
	}
	switch {
	case sums == nil:
		r.endRanging(now, rangesAgain)
	case len(sums) == 0:
		g.agreed = true
	case g.theirs == nil:
		g.agreed, g.theirs = true, &rangeSums{} // that it has the same may be late, or lost
		for i := range g.theirs {
			g.theirs[i] = binary.BigEndian.Uint64(sums[8*i:])
		}
		r.compareRanges(now, p)
	}
}

// compareRanges compares once both sides have read everything.
func (r *Replica) compareRanges(now time.Time, p *peer) {
	g := r.ranging
	if !g.done || g.theirs == nil || g.mask != 0 {
		return
	}
	for i := range g.sums {
		if g.sums[i] != g.theirs[i] {
			g.mask |= 1 << i
			r.event(Event{Kind: EventRange, Peer: p.id, Text: fmt.Sprintf("range %d of %d: %016x here, %016x there", i, rangeCount, g.sums[i], g.theirs[i])})
		}
	}
	switch {
	case g.mask == 0:
		r.compared++
		r.askMend(p) // of nothing: p may let go of its snapshot
		r.endRanging(now, r.config.RangesEvery)
	case g.theirs.total() != g.digest || g.sums.total() == g.digest:
		r.endRanging(now, r.config.RangesEvery) // it is the other side's disk, or both: that one asks a third
	default:
		r.askMend(p)
	}
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
