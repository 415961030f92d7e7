package sim

import (
	"slices"
	"strings"
	"time"

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
	members *Members
	linked  map[NodeID]bool
	mirror  mirror
	acks    []Ack // answered with the next batch
	op      [1]replica.Op
	bodies  []replicaFrame
	checked int
	tamper  func(b *kv.Batch) *kv.Batch // a planted bug: what the core writes
}

// replicaFrame is a frame with the member set that the sender knows: the product
// replicates that as a table, above the core.
type replicaFrame struct {
	frame   []byte
	members *Members // which does not change
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
	if t.mirror.records = c.Records; t.mirror.records == nil {
		t.mirror.records = newRecords()
	}
	if err := t.mirror.load(db); err != nil {
		return nil, err
	}
	r, err := replica.Open(db, replica.Config{
		Node: c.Node, Policy: simPolicy{}, Rand: c.Rand, Join: c.Joins,
		ExchangeEvery: time.Second, CollectEvery: 2 * time.Second, RangesEvery: 20 * time.Second, ProveWait: 2 * time.Second, SilenceMax: 1500 * time.Millisecond,
		TransferIdleMax: 5 * time.Second, AbsentAgeMax: 40 * time.Second, GarbageMax: 12, ChunkBytes: 120,
	}, t.wall(now))
	if err != nil {
		return nil, err
	}
	t.r = r
	if t.mirror.fresh {
		t.setMembers(now, c.Members)
	} else {
		t.members = knownMembers(r, c.Node)
	}
	return t, t.settle(out)
}

// knownMembers is the set that a store with node id knows of.
func knownMembers(r *replica.Replica, id NodeID) *Members {
	version, others := r.Members()
	m := &Members{Version: version, IDs: []NodeID{id}}
	for _, o := range others {
		m.IDs = append(m.IDs, o.ID)
	}
	slices.Sort(m.IDs)
	return m
}

func (t *replicaCore) wall(now time.Duration) time.Time { return replicaEpoch.Add(now) }

// body is a frame as it travels; they are made many at a time.
func (t *replicaCore) body(frame []byte) *replicaFrame {
	if len(t.bodies) == cap(t.bodies) {
		t.bodies = make([]replicaFrame, 0, 32)
	}
	t.bodies = append(t.bodies, replicaFrame{frame, t.members})
	return &t.bodies[len(t.bodies)-1]
}

// settle writes the core's batches and lets go what waits for them.
func (t *replicaCore) settle(out *Output) error {
	for range 100 {
		ready, ok := t.r.Ready()
		if !ok {
			break
		}
		if t.tamper != nil {
			ready.Batch = t.tamper(ready.Batch)
		}
		if ready.Batch.Len() > 0 { // as the product's shell
			if err := t.db.Write(ready.Batch, true); err != nil {
				return err
			}
		}
		for _, m := range ready.Messages {
			out.Send = append(out.Send, Packet{To: m.To, Body: t.body(m.Frame), Bytes: len(m.Frame)})
		}
		for _, e := range ready.Events {
			t.mirror.note(e)
		}
		t.r.Committed(ready.Seq)
		if err := t.mirror.apply(ready.Batch); err != nil {
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
	f := body.(*replicaFrame)
	if f.members.Version > t.members.Version {
		t.setMembers(now, *f.members)
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
	t.op[0] = replica.Op{
		Key: append([]byte{replica.AreaObject}, op.Key...), Value: Value{op.ID, stamp, floor}.Encode(), Delete: op.Delete,
	}
	err := t.r.Write(t.wall(now), t.op[:])
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
	t.members = &m
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
	v := View{Actor: t.r.Actor(), Clock: t.r.Clock(), Objects: t.mirror.objects, Digest: t.r.Digest(), Members: *t.members,
		Retired: t.mirror.retired, Lasting: t.mirror.lasting, Horizon: t.mirror.horizon, FullJoins: t.mirror.joins,
		JoinsMade: t.mirror.begun, Donor: t.mirror.donor,
		Conflicts: t.mirror.conflicts}
	v.Phase = t.Phase()
	v.NeedsFull = v.Phase == PhaseJoining
	return v
}

// Phase is that of the View.
func (t *replicaCore) Phase() Phase {
	switch p := t.r.Phase(); {
	case p == replica.Refused:
		return PhaseRefused
	case !slices.Contains(t.members.IDs, t.id):
		return PhaseRemoved
	case p == replica.Serving:
		return PhaseReady
	case p == replica.Joining:
		return PhaseJoining
	}
	return PhaseStarting
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

// verifyEach is how many steps pass between two full verifications, which read the
// whole store: they see what the disk made of the batches.
const verifyEach = 128

// Verify is the product's own verification of its store: of what changed, and now and
// then of all.
func (t *replicaCore) Verify(now bool) string {
	if why := t.mirror.verify(t.r.Clock()); why != "" {
		return why
	}
	if t.checked++; !now && t.checked%verifyEach != 0 {
		return ""
	}
	return t.verifyAll()
}

func (t *replicaCore) verifyAll() string {
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
		return t.mirror.verifyLasting(snap)
	}
	text := strings.Join(faults, "; ")
	for _, id := range []string{"I2", "I5", "I6", "I7", "I9", "I32"} {
		if strings.Contains(faults[0], "("+id+")") {
			return id + ": " + text
		}
	}
	return "I30: " + text
}
