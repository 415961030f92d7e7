package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/metadata/replica"
)

// ReplicaMaker makes cores of the product's own replica.
func ReplicaMaker() Maker { return openReplica }

// replicaEpoch is where the wall clocks of replicas begin.
var replicaEpoch = time.UnixMilli(1_700_000_000_000)

// replicaCore is the thin shell around the product's core: one step, then its
// batches, then what they let go. Owned by the World.
type replicaCore struct {
	r       *replica.Replica
	db      kv.DB
	id      NodeID
	members Members
	linked  map[NodeID]bool
	mirror  mirror
	acks    []Ack // answered with the next batch
	checked int
}

// replicaFrame is a frame with the member set that the sender knows: the product
// replicates that as a table, above the core.
type replicaFrame struct {
	frame   []byte
	members Members
}

// simPolicy: sessions are registers, all else sets.
type simPolicy struct{}

func (simPolicy) Set(key []byte) bool                           { return !isSession(string(key)) }
func (simPolicy) Rank([]byte, replica.Value) (high, low uint64) { return 0, 0 }
func (simPolicy) Admit(_ []byte, _ func() []replica.Value, next []byte) ([]byte, error) {
	return next, nil
}

func openReplica(db kv.DB, c CoreConfig, now time.Duration, out *Output) (Core, error) {
	t := &replicaCore{db: db, id: c.Node, linked: map[NodeID]bool{}}
	if err := t.mirror.load(db); err != nil {
		return nil, err
	}
	r, err := replica.Open(db, replica.Config{
		Node: c.Node, Policy: simPolicy{}, Rand: c.Rand, Join: c.Joins,
		ExchangeEvery: time.Second, CollectEvery: 2 * time.Second, ProveWait: 2 * time.Second, SilenceMax: 1500 * time.Millisecond,
		TransferIdleMax: 5 * time.Second, AbsentAgeMax: 40 * time.Second, GarbageMax: 12, ChunkBytes: 120,
	}, t.wall(now))
	if err != nil {
		return nil, err
	}
	t.r = r
	if t.mirror.fresh {
		t.setMembers(now, c.Members)
	} else {
		t.members = t.mirror.members(c.Node)
	}
	return t, t.settle(out)
}

func (t *replicaCore) wall(now time.Duration) time.Time { return replicaEpoch.Add(now) }

// settle writes the core's batches and lets go what waits for them.
func (t *replicaCore) settle(out *Output) error {
	for range 100 {
		ready, ok := t.r.Ready()
		if !ok {
			break
		}
		if err := t.db.Write(ready.Batch, true); err != nil {
			return err
		}
		for _, m := range ready.Messages {
			out.Send = append(out.Send, Packet{To: m.To, Body: replicaFrame{m.Frame, t.members}, Bytes: len(m.Frame)})
		}
		for _, e := range ready.Events {
			t.mirror.note(e)
		}
		t.r.Committed(ready.Seq)
		if err := t.mirror.apply(t.db, ready.Batch); err != nil {
			return err
		}
	}
	out.Acks, t.acks = append(out.Acks, t.acks...), t.acks[:0]
	return nil
}

func (t *replicaCore) Tick(now time.Duration, out *Output) error {
	t.r.Tick(t.wall(now))
	if err := t.settle(out); err != nil {
		return err
	}
	return t.work(now, out)
}

// work does what a step left for later, all of it.
func (t *replicaCore) work(now time.Duration, out *Output) error {
	for n := 0; t.r.Busy() && n < 100; n++ {
		t.r.Work(t.wall(now))
		if err := t.settle(out); err != nil {
			return err
		}
	}
	return nil
}

func (t *replicaCore) Receive(now time.Duration, from NodeID, body any, out *Output) error {
	f := body.(replicaFrame)
	if f.members.Version > t.members.Version {
		t.setMembers(now, f.members)
	}
	t.r.Receive(t.wall(now), from, f.frame)
	if err := t.settle(out); err != nil {
		return err
	}
	return t.work(now, out)
}

func (t *replicaCore) Write(now time.Duration, op Op, out *Output) error {
	if t.r.Phase() != replica.Serving || !slices.Contains(t.members.IDs, t.id) {
		out.Acks = append(out.Acks, Ack{Op: op.ID, Refused: true})
		return nil
	}
	before := t.r.Clock().Top(t.r.Actor())
	stamp := t.r.HLC().Stamp(t.wall(now))
	floor := t.Floor(op.Key)
	if op.Clean {
		floor = stamp
	}
	err := t.r.Write(t.wall(now), []replica.Op{{
		Key: append([]byte{replica.AreaObject}, op.Key...), Value: Value{op.ID, stamp, floor}.Encode(), Delete: op.Delete,
	}})
	if err != nil {
		return err
	}
	dot := dvv.Dot{Actor: t.r.Actor(), Counter: t.r.Clock().Top(t.r.Actor())}
	if dot.Counter == before {
		dot = dvv.Dot{} // there was nothing to delete
	}
	t.acks = append(t.acks, Ack{Op: op.ID, Dot: dot, HLC: stamp})
	return t.settle(out)
}

func (t *replicaCore) Link(now time.Duration, peer NodeID, up bool, out *Output) error {
	t.linked[peer] = up
	if up {
		t.r.PeerUp(t.wall(now), peer)
	} else {
		t.r.PeerDown(t.wall(now), peer)
	}
	return t.settle(out)
}

func (t *replicaCore) SetMembers(now time.Duration, m Members, out *Output) error {
	t.setMembers(now, m)
	return t.settle(out)
}

func (t *replicaCore) setMembers(now time.Duration, m Members) {
	t.members = m
	list := make([]replica.Member, len(m.IDs))
	for i, id := range m.IDs {
		list[i] = replica.Member{ID: id}
	}
	t.r.SetMembers(t.wall(now), m.Version, list)
	for _, id := range m.IDs { // a member that is new here may be linked already
		if t.linked[id] {
			t.r.PeerUp(t.wall(now), id)
		}
	}
}

func (t *replicaCore) Stop(_ time.Duration, out *Output) error {
	t.r.Stop()
	return t.settle(out)
}

func (t *replicaCore) View() View {
	v := View{Actor: t.r.Actor(), Clock: t.r.Clock(), Objects: t.mirror.objects, Digest: t.r.Digest(), Members: t.members,
		Retired: t.mirror.retired, Lasting: t.mirror.lasting, Horizon: t.mirror.horizon, FullJoins: t.mirror.joins,
		JoinsMade: t.mirror.begun, Donor: t.mirror.donor,
		Conflicts: t.mirror.conflicts}
	switch p := t.r.Phase(); {
	case p == replica.Refused:
		v.Phase = PhaseRefused
	case !slices.Contains(t.members.IDs, t.id):
		v.Phase = PhaseRemoved
	case p == replica.Serving:
		v.Phase = PhaseReady
	case p == replica.Joining:
		v.Phase, v.NeedsFull = PhaseJoining, true
	}
	return v
}

func (t *replicaCore) EachIndex(fn func(d dvv.Dot, key string, del bool)) {
	for d, e := range t.mirror.index {
		fn(d, e.key, e.del)
	}
}

func (t *replicaCore) Floor(key string) uint64 {
	var floor uint64
	for _, s := range t.mirror.objects[key].Siblings() {
		floor = max(floor, DecodeValue(s.Value).Floor)
	}
	return floor
}

// verifyEach is how many steps pass between two full verifications: they read
// the whole store.
const verifyEach = 16

// Verify is the product's own verification of its store.
func (t *replicaCore) Verify(now bool) string {
	if t.checked++; !now && t.checked%verifyEach != 0 {
		return ""
	}
	snap, err := t.db.Snapshot()
	if err != nil {
		return err.Error()
	}
	defer snap.Release()
	faults, err := replica.Verify(snap, simPolicy{})
	if err != nil {
		return err.Error()
	}
	if len(faults) == 0 {
		return ""
	}
	text := strings.Join(faults, "; ")
	for _, id := range []string{"I2", "I5", "I6", "I7", "I9", "I32"} {
		if strings.Contains(faults[0], "("+id+")") {
			return id + ": " + text
		}
	}
	return "I30: " + text
}

// mirror is the store as its batches tell it, so that a look inside costs
// nothing. Owned by the replicaCore.
type mirror struct {
	fresh     bool
	objects   map[string]dvv.Object
	index     map[dvv.Dot]mirrorEntry
	retired   map[dvv.Actor]bool
	lasting   map[string]dvv.VV
	horizon   dvv.Clock
	inspected *replica.Inspection
	touched   []string    // keys whose objects changed since it was last asked, and
	dropped   []droppedAt // deletes that left the index
	begun     int
	donor     NodeID
	joins     int
	conflicts int
}

// droppedAt is a delete that left the index of a key. Immutable.
type droppedAt struct {
	dot dvv.Dot
	key string
}

// Changes is what changed since it was last asked for.
func (t *replicaCore) Changes() (keys []string, dropped []droppedAt) {
	m := &t.mirror
	keys, m.touched = m.touched, nil
	for _, d := range m.dropped {
		if _, ok := m.index[d.dot]; !ok {
			dropped = append(dropped, d)
		}
	}
	m.dropped = m.dropped[:0]
	return keys, dropped
}

type mirrorEntry struct {
	key string
	del bool
}

func (m *mirror) load(db kv.DB) error {
	m.objects, m.index = map[string]dvv.Object{}, map[dvv.Dot]mirrorEntry{}
	m.retired, m.lasting = map[dvv.Actor]bool{}, map[string]dvv.VV{}
	it := db.Iterator(kv.Range{})
	defer it.Close()
	m.fresh = true
	for it.Next() {
		m.fresh = false
		if err := m.put(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	if m.fresh || it.Err() != nil {
		return it.Err()
	}
	return m.inspect(db)
}

func (m *mirror) put(key, value []byte) error {
	switch {
	case key[0] == replica.AreaObject:
		o, err := decodeReplicaObject(value)
		if err != nil {
			return fmt.Errorf("object %q: %w", key[1:], err)
		}
		m.objects[string(key[1:])] = o
		m.touched = append(m.touched, string(key[1:]))
	case key[0] == 'l':
		v, err := decodeReplicaLasting(value)
		if err != nil {
			return fmt.Errorf("lasting context of %q: %w", key[1:], err)
		}
		m.lasting[string(key[1:])] = v
	case key[0] == 'i' && len(key) == 17 && len(value) > 0:
		m.index[indexDot(key)] = mirrorEntry{key: string(value[1:]), del: value[0] == 'd'}
	}
	return nil
}

func indexDot(key []byte) dvv.Dot {
	return dvv.Dot{Actor: dvv.Actor(binary.BigEndian.Uint64(key[1:])), Counter: binary.BigEndian.Uint64(key[9:])}
}

// apply follows a batch.
func (m *mirror) apply(db kv.DB, b *kv.Batch) (err error) {
	inspect := false
	b.Each(func(key, value []byte, deleted bool) {
		switch {
		case deleted && key[0] == replica.AreaObject:
			delete(m.objects, string(key[1:]))
			m.touched = append(m.touched, string(key[1:]))
		case deleted && key[0] == 'l':
			delete(m.lasting, string(key[1:]))
		case deleted && key[0] == 'i' && len(key) == 17:
			d := indexDot(key)
			if e := m.index[d]; e.del {
				m.dropped = append(m.dropped, droppedAt{d, e.key})
			}
			delete(m.index, d)
		case !deleted && err == nil:
			err = m.put(key, value) // which keeps nothing of them
		}
		inspect = inspect || bytes.Equal(key, []byte("mr")) || bytes.Equal(key, []byte("mp"))
	})
	if err == nil && inspect {
		err = m.inspect(db)
	}
	return err
}

// inspect reads what the store says of itself.
func (m *mirror) inspect(db kv.DB) error {
	snap, err := db.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Release()
	in, err := replica.InspectRecords(snap)
	if err != nil {
		return err
	}
	m.inspected = in
	for _, t := range in.Retired {
		m.retired[t.Actor] = true
	}
	for _, p := range in.Members {
		for _, d := range p.Need.Entries() {
			m.horizon = m.horizon.AddSpan(dvv.Span{Actor: d.Actor, First: 1, Last: d.Counter})
		}
	}
	return nil
}

// members is the set that the store knows; id is its own node.
func (m *mirror) members(id NodeID) Members {
	out := Members{Version: m.inspected.Version, IDs: []NodeID{id}}
	for _, p := range m.inspected.Members {
		out.IDs = append(out.IDs, p.ID)
	}
	slices.Sort(out.IDs)
	return out
}

func (m *mirror) note(e replica.Event) {
	switch e.Kind {
	case replica.EventJoinBegan:
		m.begun++
		m.donor = e.Peer
	case replica.EventJoinEnded:
		m.joins++
	case replica.EventQuarantined:
		m.conflicts++
	}
}

// decodeReplicaObject reads an object record of the product, by the library
// instead of the product's own reader: docs/formats/metadata.md.
func decodeReplicaObject(b []byte) (dvv.Object, error) {
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(bytes.NewReader(b))
	n, err := dec.DecodeArrayLen()
	if err != nil || n < 2 || (n-2)%3 != 0 {
		return dvv.Object{}, fmt.Errorf("an array of %d, %v", n, err)
	}
	if _, err = dec.DecodeUint64(); err != nil {
		return dvv.Object{}, err
	}
	raw, err := dec.DecodeBytes()
	if err != nil {
		return dvv.Object{}, err
	}
	var context dvv.VV
	if raw != nil {
		if context, _, err = dvv.DecodeVV(raw); err != nil {
			return dvv.Object{}, err
		}
	}
	var siblings []dvv.Sibling
	for i := 2; i < n; i += 3 {
		s, err := decodeReplicaSibling(dec)
		if err != nil {
			return dvv.Object{}, err
		}
		siblings = append(siblings, s)
	}
	return dvv.NewObject(context, siblings...), nil
}

func decodeReplicaLasting(b []byte) (v dvv.VV, err error) {
	dec := msgpack.NewDecoder(bytes.NewReader(b))
	n, err := dec.DecodeArrayLen()
	if err != nil || n < 2 {
		return v, fmt.Errorf("an array of %d, %v", n, err)
	}
	if _, err = dec.DecodeUint64(); err != nil {
		return v, err
	}
	raw, err := dec.DecodeBytes()
	if err == nil {
		v, _, err = dvv.DecodeVV(raw)
	}
	return v, err
}

func decodeReplicaSibling(dec *msgpack.Decoder) (s dvv.Sibling, err error) {
	actor, err := dec.DecodeUint64()
	if err != nil {
		return s, err
	}
	counter, err := dec.DecodeUint64()
	if err != nil {
		return s, err
	}
	if _, err = dec.DecodeArrayLen(); err != nil {
		return s, err
	}
	if _, err = dec.DecodeUint64(); err != nil { // value or tombstone
		return s, err
	}
	if _, err = dec.DecodeUint64(); err != nil { // its stamp
		return s, err
	}
	s.Dot = dvv.Dot{Actor: dvv.Actor(actor), Counter: counter}
	s.Value, err = dec.DecodeBytes()
	return s, err
}
