package replica

import (
	"bytes"
	"slices"
	"time"

	"tombolo/dvv"
	"tombolo/internal/invariant"
)

// Op is one change of one key of this node's own. Key begins with AreaObject;
// the core keeps Key and Value.
type Op struct {
	Key    []byte
	Value  []byte
	Delete bool
	Expect []byte // not nil: only if a reader sees exactly this value

	// Read says that Stored is what the database held for Key at some instant
	// since the last call of Committed, nil for nothing: a shell with several
	// cores reads ahead.
	Read   bool
	Stored []byte
}

// Write makes ops as one, or none of them. It reads what it overwrites, so that
// a writer never leaves siblings of its own.
func (r *Replica) Write(now time.Time, ops []Op) error {
	invariant.Check(r.phase == Serving, "a write while %v", r.phase)
	var room [8][]byte
	admitted := slices.Grow(room[:0], len(ops))[:len(ops)]
	for i := range ops {
		op, a := &ops[i], &r.admission
		a.op, a.fault = op, nil
		next := op.Value
		if op.Delete {
			next = nil
		} else if next == nil {
			next = []byte{}
		}
		value, err := r.config.Policy.Admit(op.Key[1:], a.current, next)
		if a.op = nil; err == nil {
			err = a.fault
		}
		if err != nil {
			return err
		}
		admitted[i] = value
	}
	for i := range ops {
		if err := r.write(now, &ops[i], admitted[i]); err != nil {
			return err
		}
	}
	return nil
}

// admission is the change that the policy is asked about. Owned by the Replica.
type admission struct {
	op      *Op
	fault   error          // of reading what it changes
	current func() []Value // reads that; one for all changes
}

func (r *Replica) admit() {
	a := &r.admission
	a.current = func() []Value {
		old, err := r.current(a.op)
		a.fault = err
		return values(old)
	}
}

func (r *Replica) write(now time.Time, op *Op, value []byte) error {
	if known, ok := r.summaries.get(r.summaries.hash(op.Key)); ok && op.Expect == nil {
		r.overwrite(now, op, value, known)
		return nil
	}
	old, err := r.current(op)
	if err != nil {
		return err
	}
	name, set := op.Key[1:], r.config.Policy.Set(op.Key[1:])
	if op.Expect != nil {
		if w, ok := winner(r.config.Policy, name, old); !ok || w.Tombstone || !bytes.Equal(w.Bytes, op.Expect) {
			return nil
		}
	}
	if op.Delete && (set && len(old.Siblings()) == 0 || !set && !visible(r.config.Policy, name, old)) {
		return nil // nothing to delete: no event
	}
	d, next, raw := r.issue(now, op, value, old.Context(), op.Delete && set)
	r.storeRaw(op.Key, old, next, raw)
	if op.Delete && set {
		r.noteDelete(name, d)
	}
	r.touch(op.Key, d, op.Delete && set)
	return nil
}

// overwrite is write over one live value that need not be read.
func (r *Replica) overwrite(now time.Time, op *Op, value []byte, known summary) {
	name := op.Key[1:]
	isDelete := op.Delete && r.config.Policy.Set(name)
	d, next, raw := r.issue(now, op, value, dvv.VV{}, isDelete)
	r.replace(op.Key, known, next, raw)
	if isDelete {
		r.noteDelete(name, d)
	}
	r.touch(op.Key, d, isDelete)
}

// issue issues the dot of one op and makes the object that it leaves. The
// writer has read all that is here, so that only the residual context has to be
// kept: the rest stands in the clock. raw is the object's record if that is all of it:
// the value is a part of it then.
func (r *Replica) issue(now time.Time, op *Op, value []byte, context dvv.VV, isDelete bool) (d dvv.Dot, next dvv.Object, raw []byte) {
	r.own++
	r.unflushed = true
	d = dvv.Dot{Actor: r.actor, Counter: r.own}
	if context.Len() > 0 {
		next = dvv.NewObject(context).Strip(r.bases)
	}
	if isDelete {
		return d, next, nil
	}
	p := payload{tomb: op.Delete, hlc: r.hlc.Stamp(now), value: value}
	if next.Context().Len() > 0 {
		payload := appendPayload(make([]byte, 0, len(value)+16), p)
		return d, dvv.NewObject(next.Context(), dvv.Sibling{Dot: d, Value: payload}), nil
	}
	raw = appendSibling(appendObjectHead(make([]byte, 0, len(value)+48), dvv.VV{}, 1), d)
	at := len(raw)
	raw = appendPayload(raw, p)
	return d, dvv.NewObject(dvv.VV{}, dvv.Sibling{Dot: d, Value: raw[at:len(raw):len(raw)]}), raw
}

// current is the object that op changes. What changed since the database was
// read ahead is among the objects on their way.
func (r *Replica) current(op *Op) (dvv.Object, error) {
	if p, ok := r.objects[string(op.Key)]; ok {
		return p.object, nil
	}
	switch {
	case r.summaries.absent(r.summaries.hash(op.Key)):
		return dvv.Object{}, nil
	case !op.Read:
		return r.get(op.Key)
	case op.Stored == nil:
		return dvv.Object{}, nil
	}
	return decodeObject(op.Stored)
}

// flushOwn takes the dots of this node's writes into the clock: all at once,
// since between them nothing asks for it. Contexts are stripped of other
// actors' dots alone, and those of our own never stand in one.
func (r *Replica) flushOwn() {
	if !r.unflushed {
		return
	}
	r.unflushed = false
	if s := (dvv.Span{Actor: r.actor, First: r.clock.Top(r.actor) + 1, Last: r.own}); s.First <= s.Last {
		r.setClock(r.clock.AddSpan(s))
	}
}

// touch remembers that key goes to the peers with the next Ready.
func (r *Replica) touch(key []byte, d dvv.Dot, isDelete bool) {
	if !r.anyoneUp() {
		return
	}
	i, ok := r.dirty.index[string(key)]
	if !ok {
		i = len(r.dirty.touched)
		r.dirty.index[string(key)] = i
		r.dirty.touched = append(r.dirty.touched, touch{key: key})
	}
	t := &r.dirty.touched[i]
	if isDelete {
		t.deletes = append(t.deletes, d)
	} else {
		t.covered = append(t.covered, d)
	}
}
