package topic

// foldScanMax is up to how many hits a subscriber is looked for one by one.
const foldScanMax = 32

// lone is a result with one hit, which most are, in one piece.
type lone[S comparable] struct {
	Result[S]
	hit [1]Hit[S]
}

// assemble makes the result of the leaves that match, in their order.
func assemble[S comparable](leaves []*leaf[S]) *Result[S] {
	if len(leaves) == 1 && leaves[0].crowd == nil {
		l := &lone[S]{hit: [1]Hit[S]{leaves[0].only.hit()}}
		l.Direct = l.hit[:]
		return &l.Result
	}
	r := new(Result[S])
	var buf [8][]Hit[S]
	parts, total := buf[:0], 0 // the hits of each leaf that has a crowd
	for _, l := range leaves {
		if l.crowd == nil {
			total++
			continue
		}
		hits := l.crowd.direct.hits()
		parts = append(parts, hits)
		total += len(hits)
		for g := range l.crowd.groups.all {
			// Members that left while we looked may leave none behind.
			if hits := g.members.hits(); len(hits) > 0 {
				r.Shared = append(r.Shared, Group[S]{Name: g.name, Filter: g.filter, Members: hits, turn: &g.turn})
			}
		}
	}
	for _, hits := range parts {
		if len(hits) == total {
			r.Direct = hits // shared with every topic that matches this way
			return r
		}
	}
	if total == 0 {
		return r
	}
	f := folder[S]{hits: make([]Hit[S], 0, total)}
	if total > foldScanMax {
		f.at = make(map[S]int, total)
	}
	for _, l := range leaves {
		if l.crowd == nil {
			f.add(l.only.hit())
			continue
		}
		for _, h := range parts[0] {
			f.add(h)
		}
		parts = parts[1:]
	}
	r.Direct = f.hits
	return r
}

// folder brings the hits of several filters together, one per subscriber.
// Owned by one call of assemble.
type folder[S comparable] struct {
	hits []Hit[S]
	at   map[S]int // nil while a search is cheaper
}

func (f *folder[S]) add(h Hit[S]) {
	i, ok := f.find(h.Sub)
	if !ok {
		if f.at != nil {
			f.at[h.Sub] = len(f.hits)
		}
		f.hits = append(f.hits, h)
		return
	}
	old := &f.hits[i]
	old.Options.QoS = max(old.Options.QoS, h.Options.QoS)
	old.Options.RetainAsPublished = old.Options.RetainAsPublished || h.Options.RetainAsPublished
	old.Options.NoLocal = old.Options.NoLocal && h.Options.NoLocal
	// What belongs to an audience has no room behind it: append copies it.
	old.IDs = append(old.IDs, h.IDs...)
}

func (f *folder[S]) find(s S) (int, bool) {
	if f.at != nil {
		i, ok := f.at[s]
		return i, ok
	}
	for i := range f.hits {
		if f.hits[i].Sub == s {
			return i, true
		}
	}
	return 0, false
}
