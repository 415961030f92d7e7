package replica

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tombolo/dvv"
	"tombolo/internal/invariant"
	"tombolo/internal/kv"
)

// View is what the core reads. It is the database that the batches of Ready are
// written to; the core itself writes nothing.
type View interface {
	Get(key []byte) ([]byte, error)
	Snapshot() (kv.Snapshot, error)
	Iterator(r kv.Range) kv.Iterator
}

// Config is what a core needs to know. Zero durations and sizes take the
// default. Immutable.
type Config struct {
	Node   uint64
	Policy Policy
	Rand   func() uint64 // for actors and nonces; the simulator's own generator

	Join            bool          // a database that is empty joins a cluster that exists: it serves nothing before (I29)
	Suspect         bool          // the database may have lost synced data (kv.DB.Suspect)
	ExchangeEvery   time.Duration // between two exchanges with a peer chosen by turns: 1.5 s
	RangesEvery     time.Duration // between two comparisons by range with a peer: 5 min
	CollectEvery    time.Duration // between two rounds of collection: 10 s
	ProveWait       time.Duration // how long a clean start waits for all members: 3 s
	SilenceMax      time.Duration // after which another holder of a node id is believed: 3 s
	TransferIdleMax time.Duration // after which an exchange is given up: 30 s
	AbsentAgeMax    time.Duration // after which an unheard member no longer holds back collection: 7 days
	GarbageMax      int64         // or with this many deletes pending: 1,000,000
	DriftMax        time.Duration // from the median of the peers: 2 s
	ChunkBytes      int           // of records in one frame: 48 KiB
	SummariesMax    int           // keys whose last write is remembered, about 50 bytes each: 524,288
}

func (c *Config) defaults() {
	duration := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	duration(&c.ExchangeEvery, 1500*time.Millisecond)
	duration(&c.RangesEvery, 5*time.Minute)
	duration(&c.CollectEvery, 10*time.Second)
	duration(&c.ProveWait, 3*time.Second)
	duration(&c.SilenceMax, 3*time.Second)
	duration(&c.TransferIdleMax, 30*time.Second)
	duration(&c.AbsentAgeMax, 7*24*time.Hour)
	duration(&c.DriftMax, 2*time.Second)
	if c.GarbageMax == 0 {
		c.GarbageMax = 1_000_000
	}
	if c.SummariesMax == 0 {
		c.SummariesMax = 1 << 19
	}
	if c.ChunkBytes == 0 {
		c.ChunkBytes = 48 << 10
	}
}

// Phase is whether the store may take writes of its own.
type Phase uint8

// The phases. Only Serving takes writes.
const (
	Proving Phase = iota // a clean start asks the members whether its actor may go on
	Joining              // a full join is owed
	Serving
	Refused // another live store holds this node id
)

func (p Phase) String() string {
	return [...]string{"proving", "joining", "serving", "refused"}[p]
}

// Message is a frame for a peer.
type Message struct {
	To    uint64
	Frame []byte
}

// Ready is the effects of the steps since the last one: write Batch with a sync,
// then send Messages, then call Committed, from which on Batch and the lists, but not
// the keys and frames in them, are the core's again. Effects leave in order: those of one Ready only after those of the one before.
type Ready struct {
	Seq      uint64
	Batch    *kv.Batch
	Changed  [][]byte // area, table and key of the objects in Batch
	Messages []Message
	Events   []Event
}

// Replica is the core of one store. It is stepped: owned by one goroutine, which
// hands in writes, frames and the time, and takes out effects.
type Replica struct {
	config Config
	view   View
	state
	identity
	bases    dvv.VV    // of clock
	durable  dvv.Clock // of the last batch that was committed
	own      uint64    // the last counter of actor
	hlc      *HLC
	phase    Phase
	proveEnd time.Time
	nonce    uint64  // of this opening
	before   uint64  // nonce of the opening before
	version  uint64  // of the member set
	peers    []*peer // ascending ids, without this node
	retired  []Retired
	left     map[uint64]request // of those that were members in this opening, and may be taken back

	objects   map[string]pending // written and not yet committed
	names     []string           // of objects, since the last Ready
	summaries summaries
	known     *known // nil if this core was made to be looked at
	lasting   lasting
	dirty     dirty
	out       Ready
	seq       uint64
	written   []inflight
	scratch   []byte // for a record on its way into a batch
	sought    []byte // the key of an object that is read
	met       []merging
	pushes    recordRoom
	admission admission
	sending   []wireRecord // room for those of a push or a chunk
	dots      []dvv.Dot    // the two lists of a merge
	from      []byte       // where a walk begins,
	upTo      []byte       // and ends
	spare     inflight     // what may be used again
	frames    slab
	unflushed bool // own says more than clock

	join         *joining
	goals        []goal // not nil: a full join ended, and this is yet to be reached
	rebuild      *rebuilding
	nextExchange time.Time
	turn         int
	nextCollect  time.Time
	collecting   []dvv.Dot            // up to where this round goes, per actor
	collectable  dvv.Clock            // what it may collect
	collectFrom  map[dvv.Actor]uint64 // below it nothing waits, but for late
	late         []lateEntry          // on their way to the disk
	gone         map[dvv.Dot]uint64   // garbage entries that a batch on its way takes away
	goneLast     uint64               // the last of those batches
	indexed      []indexEntry         // what the batch in hand made live
	lateBlocks   []lateEntry          // on their way to the disk
	trim         *trimming
	trimDone     bool                 // a round has ended since the start
	trimFrom     map[dvv.Actor]uint64 // below it the index has no block, but for lateBlocks
	sweep        sweeping
	nextPart     uint64
	transfers    uint64

	ranging     *ranging // the comparison that we asked for; one at a time
	rangingWith uint64
	compared    uint64
	suspicion   *suspicion
}

// pending is an object on its way to the disk.
type pending struct {
	object dvv.Object
	raw    []byte // nil: deleted
	seq    uint64
}

// inflight is a Ready whose batch is not durable yet.
type inflight struct {
	clock dvv.Clock // in it
	names []string  // of the objects
	ready Ready
}

// lateEntry is an entry for collection that came below where collection begins.
type lateEntry struct {
	dot dvv.Dot
	seq uint64
}

// durable calls fn for the entries of list, which ascend, that seq made durable, and
// returns the others.
func durable(list []lateEntry, seq uint64, fn func(d dvv.Dot)) []lateEntry {
	n := 0
	for ; n < len(list) && list[n].seq <= seq; n++ {
		fn(list[n].dot)
	}
	if n == len(list) {
		return list[:0]
	}
	return list[n:]
}

// dirty is which of the store's own records belong into the next batch.
type dirty struct {
	state, identity, peers, retired, join bool
	touched                               []touch
	index                                 map[string]int // into touched
}

// touch is a key that this node wrote since the last Ready.
type touch struct {
	key     []byte // with area
	covered []dvv.Dot
	deletes []dvv.Dot
}

// Open makes the core of the store in view. What it changes, a new nonce above
// all, is in the first Ready.
func Open(view View, c Config, now time.Time) (*Replica, error) {
	c.defaults()
	r := &Replica{
		config: c, view: view, hlc: &HLC{},
		objects: map[string]pending{}, gone: map[dvv.Dot]uint64{}, collectFrom: map[dvv.Actor]uint64{}, trimFrom: map[dvv.Actor]uint64{},
		summaries: newSummaries(c.SummariesMax), left: map[uint64]request{},
	}
	r.dirty.index = map[string]int{}
	r.known = &known{}
	r.admit()
	fresh, err := r.load()
	if err != nil {
		return nil, err
	}
	r.summaries.complete = fresh && r.empty()
	r.hlc.Observe(r.hlcLease)
	r.bases = r.clock.Bases()
	r.durable = r.clock
	r.own = r.clock.Top(r.actor)
	invariant.Check(r.clock.Contiguous(r.actor), "own entry %v of %v has gaps (I2)", r.actor, r.clock)
	r.begin(fresh, now)
	return r, nil
}

// load reads the store's own records; fresh says that there are none.
func (r *Replica) load() (fresh bool, err error) {
	read := func(key []byte, decode func(b []byte) error) bool {
		b, e := r.view.Get(key)
		switch {
		case err != nil || errors.Is(e, kv.ErrNotFound):
			return false
		case e != nil:
			err = e
		default:
			err = decode(b)
		}
		return err == nil
	}
	known := read(metaIdentity, func(b []byte) (e error) { r.identity, e = decodeIdentity(b); return })
	read(metaState, func(b []byte) (e error) { r.state, e = decodeState(b, nil); return })
	read(metaPeers, func(b []byte) (e error) { r.version, r.peers, e = decodePeers(b); return })
	read(metaRetired, func(b []byte) (e error) { r.retired, e = decodeRetired(b); return })
	read(metaJoin, func(b []byte) (e error) {
		s, e := decodeJoin(b)
		r.join = &joining{joinState: s}
		return e
	})
	if err == nil {
		err = r.loadLasting()
	}
	if err != nil {
		return false, fmt.Errorf("replica: %w: the store's own records are damaged: move the directory away and let the node join anew", err)
	}
	return !known, nil
}

// begin chooses the actor and the phase (§1.5 of the reference, R30).
func (r *Replica) begin(fresh bool, now time.Time) {
	r.before, r.nonce = r.identity.nonce, r.config.Rand()|1
	copied := !fresh && r.identity.node != r.config.Node
	clean := r.identity.clean && !r.config.Suspect && !copied
	r.identity.node, r.identity.nonce, r.identity.clean = r.config.Node, r.nonce, false
	r.dirty.identity, r.dirty.state = true, true
	r.nextExchange, r.nextCollect = now, now.Add(r.config.CollectEvery)
	alone := len(r.peers) == 0
	r.phase = Serving
	switch {
	case fresh:
		r.actor = dvv.Actor(r.config.Rand() | 1)
		r.identity.joins = r.config.Join
	case copied: // the original may still write: its actor is not ours to retire
		r.actor, r.own = dvv.Actor(r.config.Rand()|1), 0
		r.event(Event{Kind: EventMinted, Text: "the directory belongs to another node id"})
	case r.config.Suspect || r.identity.rebuilds:
		r.startRebuild("the database may have lost synced data")
	case alone:
	case clean:
		r.phase, r.proveEnd = Proving, now.Add(r.config.ProveWait)
	default:
		r.mint("the last stop was not clean")
	}
	if r.identity.joins && r.phase == Serving {
		r.phase = Joining
	}
}

// Phase says whether writes are taken.
func (r *Replica) Phase() Phase { return r.phase }

// Clock is what this store has seen, committed or about to be.
func (r *Replica) Clock() dvv.Clock {
	r.flushOwn()
	return r.clock
}

// Digest is the order-free sum over all visible values.
func (r *Replica) Digest() uint64 { return r.digest }

// Live is how many keys have a value that a reader sees.
func (r *Replica) Live() int64 { return r.live }

// Actor is who writes now.
func (r *Replica) Actor() dvv.Actor { return r.actor }

// HLC is the store's clock; it may be used from any goroutine.
func (r *Replica) HLC() *HLC { return r.hlc }

// Tick does what is due at now and what is left of earlier steps.
func (r *Replica) Tick(now time.Time) {
	r.flushOwn()
	if r.rebuild != nil {
		return // nobody hears of this store before it knows what it has
	}
	r.tickSessions(now)
	r.tickTransfers(now)
	r.tickExchange(now)
	r.tickCollect(now)
	r.tickSweep(now)
	r.tickRanges(now)
	if last := r.hlc.last.Load(); last+uint64(leaseMargin.Milliseconds()/2)<<16 > r.hlcLease {
		r.dirty.state = true
	}
}

// Busy says that Work has something to go on with.
func (r *Replica) Busy() bool {
	if r.rebuild != nil {
		return len(r.written) == 0 && r.batchLen() == 0
	}
	return r.join != nil && r.join.chunk != nil || len(r.collecting) > 0 || r.trim != nil || r.sweeps()
}

// Work goes on with what was cut into pieces so that no step is long.
func (r *Replica) Work(now time.Time) {
	r.flushOwn()
	if r.rebuild != nil {
		if r.Busy() {
			r.rebuildStep(now)
		}
		return
	}
	if r.join != nil && r.join.chunk != nil {
		r.mergeChunk(now)
	}
	if len(r.collecting) > 0 {
		r.collect(now)
	}
	if r.trim != nil {
		r.trimStep()
	}
	if r.sweeps() {
		r.sweepStep()
	}
}

// Stop marks the stop as clean; its Ready is the last one. Without it the next
// start mints.
func (r *Replica) Stop() {
	r.Release()
	r.identity.clean, r.dirty.identity = true, true
}

// Release lets go of the snapshots that exchanges hold.
func (r *Replica) Release() {
	for _, p := range r.peers {
		p.endTransfer()
		p.endRanges()
	}
	r.ranging.close()
	r.ranging = nil
}

// Ready takes the effects; ok is false when there are none.
func (r *Replica) Ready() (Ready, bool) {
	r.flushOwn()
	r.push()
	d := &r.dirty
	any := d.state || d.identity || d.peers || d.retired || d.join || len(r.out.Changed) > 0
	if !any && len(r.out.Messages) == 0 && len(r.out.Events) == 0 && r.batchLen() == 0 {
		return Ready{}, false
	}
	r.seq++
	if any || r.batchLen() > 0 {
		r.sealBatch()
	}
	out := r.out
	out.Seq, out.Batch = r.seq, r.batch()
	r.written = append(r.written, inflight{clock: r.clock, names: r.names, ready: out})
	r.takeLists()
	d.state, d.identity, d.peers, d.retired, d.join, d.touched = false, false, false, false, false, d.touched[:0]
	if len(d.index) > 0 {
		clear(d.index)
	}
	return out, true
}

// Committed says that the batches up to seq are durable.
func (r *Replica) Committed(seq uint64) {
	for len(r.written) > 0 && r.written[0].ready.Seq <= seq {
		f := &r.written[0]
		for _, k := range f.names {
			if p, ok := r.objects[k]; ok && p.seq <= seq {
				delete(r.objects, k)
			}
		}
		r.durable = f.clock
		r.giveBack(f)
		r.written = slices.Delete(r.written, 0, 1)
	}
	r.late = durable(r.late, seq, func(d dvv.Dot) { r.collectFrom[d.Actor] = min(r.collectFrom[d.Actor], d.Counter) })
	r.lateBlocks = durable(r.lateBlocks, seq, r.trimLate)
	if len(r.gone) > 0 && seq >= r.goneLast {
		clear(r.gone)
	} else if len(r.gone) > 0 {
		maps.DeleteFunc(r.gone, func(_ dvv.Dot, at uint64) bool { return at <= seq })
	}
}

// noteTaken remembers that the batch in hand takes the garbage entry of d away.
func (r *Replica) noteTaken(d dvv.Dot) {
	r.goneLast = r.seq + 1
	r.gone[d] = r.goneLast
}

// event reports what is worth counting or logging.
func (r *Replica) event(e Event) { r.out.Events = append(r.out.Events, e) }

// peer finds a member, nil if id is none.
func (r *Replica) peer(id uint64) *peer {
	for _, p := range r.peers { // they are few
		if p.id == id {
			return p
		}
	}
	return nil
}
