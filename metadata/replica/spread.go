package replica

import "slices"

// A write that is lost may have had its effect here: a value came, or went, for an object
// that named it, and nobody else has heard of it. No clock says so, and nothing that anybody
// is known to lack would have the key sent. What is left of it is a lasting context that the
// other side does not have, and keys in which these differ are not compared by sums. So
// whoever finds in a comparison that it has one sends the key, as it sends what it wrote:
// merging whole objects is right at any time, and both sides are the same after it.

// spreadLasting sends p the keys with a lasting context that p has not, in so far as
// nothing else has touched them on either side: else they come with that, or in a later
// comparison, as those do that are too many for this one.
func (r *Replica) spreadLasting(p *peer, d *reading, theirs []mark) {
	if r.join != nil || r.phase != Serving {
		return
	}
	var names []string // mostly none
	for name, lasting := range d.touched {
		if lasting != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	there := make(map[string]uint64, len(theirs))
	for _, m := range theirs {
		there[string(m.name)] = m.lasting
	}
	var list []wireRecord
	size := 0
	for _, name := range names {
		if other, known := there[name]; known && (other == 0 || other == d.touched[name]) {
			continue
		}
		o, err := r.get(objectKey([]byte(name)))
		if err != nil {
			continue // what cannot be read is mended from p
		}
		w := wireRecord{key: []byte(name), raw: appendObject(nil, r.whole([]byte(name), o))}
		list, size = append(list, w), size+w.size()
		if size >= r.config.ChunkBytes || len(list) == chunkKeysMax {
			break
		}
	}
	if len(list) > 0 {
		r.send(p, append(p.header(r, framePush), appendPush(nil, r.bases, list)...))
	}
}
