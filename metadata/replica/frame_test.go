package replica

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden holds bytes to testdata/name.hex.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	var lines []string
	for chunk := range slices.Chunk(got, 32) {
		lines = append(lines, hex.EncodeToString(chunk))
	}
	text := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: the format changed:\n%swant\n%s", name, text, want)
	}
}

// library holds bytes to be what the msgpack library can read.
func library(t *testing.T, name string, b []byte) {
	t.Helper()
	var v any
	if err := msgpack.Unmarshal(b, &v); err != nil {
		t.Errorf("%s: the library cannot read it: %v", name, err)
	}
}

var (
	sampleClock = dvv.Clock{}.AddSpan(dvv.Span{Actor: 0xa1, First: 1, Last: 300}).Add(dvv.Dot{Actor: 0xb2 << 56, Counter: 7})
	sampleDots  = []dvv.Dot{{Actor: 0xa1, Counter: 299}, {Actor: 0xa1, Counter: 300}}
)

func sampleObject() dvv.Object {
	value := appendPayload(nil, payload{hlc: 1 << 40, value: []byte("value")})
	tomb := appendPayload(nil, payload{tomb: true, hlc: 1<<40 + 1})
	return dvv.NewObject(dvv.NewVV(dvv.Dot{Actor: 0xb2 << 56, Counter: 7}),
		dvv.Sibling{Dot: sampleDots[1], Value: value}, dvv.Sibling{Dot: dvv.Dot{Actor: 0xb2 << 56, Counter: 7}, Value: tomb})
}

func sampleRecords() []wireRecord {
	return []wireRecord{
		{key: []byte("\x05key"), raw: appendObject(nil, sampleObject()), covered: sampleDots, deletes: []dvv.Dot{}},
		{key: []byte("\x02gone"), covered: []dvv.Dot{}, deletes: sampleDots[:1]},
		{key: []byte("\x02gone"), covered: []dvv.Dot{}, deletes: sampleDots[:1], only: true},
	}
}

func sampleGreeting() *greeting {
	return &greeting{
		challenge: 5, before: 6, actor: 0xa1, wall: 1_700_000_000_000, clock: sampleClock,
		retired: []Retired{{Actor: 3, Node: 2}, {Actor: 9, Node: 1}},
		joining: true, counter: 12, nonceOK: true, stolen: false, frames: 20,
	}
}

// sampleFrames is one frame of each type.
func sampleFrames() map[string][]byte {
	head := func(kind uint64) []byte {
		return appendHeader(nil, header{kind: kind, from: 0x1111, to: 0x2222, fields: frameFields[kind]})
	}
	g := sampleGreeting()
	b := &begin{
		id: 77, full: true, clock: sampleClock, digest: 0xd1, collected: sampleClock.Bases(),
		needs: []need{{node: 3, upTo: sampleClock.Tops()}}, retired: g.retired, trimmed: sampleClock,
	}
	c := &chunk{id: 77, seq: 2, last: true, upTo: []byte("\x05key"), bases: sampleClock.Bases(), list: sampleRecords()}
	clock := appendRetired(pack.AppendBytes(head(frameClock), sampleClock.Append(nil)), g.retired)
	numbers := func(kind uint64, list ...uint64) []byte {
		f := head(kind)
		for _, n := range list {
			f = pack.AppendUint(f, n)
		}
		return f
	}
	return map[string][]byte{
		"hello":   appendGreeting(head(frameHello), g, false),
		"welcome": appendGreeting(head(frameWelcome), g, true),
		"refuse":  numbers(frameRefuse, refuseNeedJoin),
		"push":    appendPush(head(framePush), sampleClock.Bases(), sampleRecords()),
		"probe":   numbers(frameProbe, 1, 2, 3, 1_700_000_000_000),
		"same":    numbers(frameSame, 1, 3, 1_700_000_000_000),
		"clock":   pack.AppendBool(clock, true),
		"pull":    pack.AppendBool(pack.AppendBytes(numbers(framePull, 77), sampleClock.Append(nil)), true),
		"begin":   appendBegin(head(frameBegin), b),
		"chunk":   appendChunk(head(frameChunk), c),
		"next":    numbers(frameNext, 77, 2),
		"join":    pack.AppendBytes(pack.AppendBytes(numbers(frameJoin, 77), []byte("\x05key")), sampleClock.Append(nil)),
		"part":    pack.AppendBytes(numbers(framePart, 4, 0, 2), []byte("half")),
		"have":    numbers(frameHave, 0xa1, 300),
		"meet":    pack.AppendBytes(pack.AppendUint(pack.AppendBool(numbers(frameMeet, 7), true), 0xd1), sampleClock.Append(nil)),
		"met":     pack.AppendBytes(pack.AppendBool(pack.AppendBool(numbers(frameMet, 7), false), true), nil),
		"ranges":  pack.AppendBytes(numbers(frameRanges, 7), sampleClock.Append(nil)),
		"cut":     pack.AppendBytes(numbers(frameCut, 7), sampleClock.Append(nil)),
		"touched": appendMarks(numbers(frameTouched, 7), []mark{{[]byte("\x05key"), 0}, {[]byte("\x05other"), 0xd1}}),
		"sums":    pack.AppendBool(appendMarks(pack.AppendBytes(numbers(frameSums, 7), make([]byte, 8*rangeCount)), []mark{{[]byte("\x05key"), 0}}), true),
		"mend":    pack.AppendBytes(numbers(frameMend, 7, 1<<63), []byte("\x05key")),
		"mended":  sampleMended(numbers(frameMended, 7)),
	}
}

func sampleMended(f []byte) []byte {
	f = pack.AppendArray(pack.AppendBytes(f, []byte("\x05key")), 1)
	f = pack.AppendBytes(pack.AppendArray(f, 2), []byte("\x05key"))
	return pack.AppendBytes(f, appendObject(nil, sampleObject()))
}

func TestGoldenFrames(t *testing.T) {
	for name, frame := range sampleFrames() {
		golden(t, "frame-"+name, frame)
		library(t, name, frame)
	}
	types := 0
	for _, fields := range frameFields {
		if fields > 0 {
			types++
		}
	}
	if len(sampleFrames()) != types {
		t.Errorf("%d types of frames, %d of them pinned", types, len(sampleFrames()))
	}
}

// TestPeersOfEarlierBuild: a record of the members that names one proof, as golden once.
func TestPeersOfEarlierBuild(t *testing.T) {
	b, err := hex.DecodeString("9301049a02c305cca1c4140200000000000000a1ac02b20000000000000007c4" +
		"180200000000000000a1ac0200b2000000000000000001050005cf0000018bcfe56800cca105")
	if err != nil {
		t.Fatal(err)
	}
	_, peers, err := decodePeers(b)
	if err != nil || len(peers) != 1 || !slices.Equal(peers[0].proofs, []proof{{0xa1, 5}}) || peers[0].heard != 1_700_000_000_000 {
		t.Fatalf("%+v, %v", peers, err)
	}
}

func samplePeers() []*peer {
	return []*peer{{
		id: 2, absent: true, known: 5, actor: 0xa1, need: sampleClock.Tops(), row: sampleClock,
		rowNonce: 5, heard: 1_700_000_000_000, proofs: []proof{{0xa2, 4}, {0xa3, 6}, {0xa1, 5}},
	}}
}

var sampleBlock = []indexEntry{{sampleDots[0], []byte("\x05key")}, {sampleDots[1], []byte("\x02gone")}}

func TestGoldenRecords(t *testing.T) {
	s := state{clock: sampleClock, digest: 1 << 63, live: 3, garbage: 2, collected: sampleClock.Bases(), hlcLease: 1 << 50, trimmed: sampleClock}
	i := identity{node: 1, actor: 0xa1, nonce: 99, clean: true, joins: true}
	j := joinState{donor: 2, clock: sampleClock, cursor: []byte("\x05key"), last: sampleClock.Add(dvv.Dot{Actor: 0xa1, Counter: 301}),
		parts: []joinPart{{bases: sampleClock.Bases()}, {[]byte("\x05a"), sampleClock.Tops()}}}
	records := map[string][]byte{
		"object": appendObject(nil, sampleObject()), "state": s.append(nil, s.clock.Append(nil), s.trimmed.Append(nil)), "identity": i.append(nil),
		"peers": appendPeers(nil, 4, samplePeers()), "retired": appendRetired(nil, sampleGreeting().retired), "join": j.append(nil),
		"lasting": appendLasting(nil, sampleClock.Tops()), "block": appendBlock(nil, sampleBlock),
	}
	for name, b := range records {
		golden(t, "record-"+name, b)
		library(t, name, b)
	}
	if got, err := decodeObject(records["object"]); err != nil || !got.Equal(sampleObject()) {
		t.Errorf("object: got %v, %v", got, err)
	}
	if got, err := decodeState(records["state"], nil); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("state: got %+v, %v", got, err)
	}
	if got, err := decodeIdentity(records["identity"]); err != nil || got != i {
		t.Errorf("identity: got %+v, %v", got, err)
	}
	if version, got, err := decodePeers(records["peers"]); err != nil || version != 4 || !reflect.DeepEqual(got, samplePeers()) {
		t.Errorf("peers: got %+v, %v", got, err)
	}
	if got, err := decodeRetired(records["retired"]); err != nil || !reflect.DeepEqual(got, sampleGreeting().retired) {
		t.Errorf("retired: got %+v, %v", got, err)
	}
	if got, err := decodeLasting(records["lasting"]); err != nil || !got.Equal(sampleClock.Tops()) {
		t.Errorf("lasting context: got %v, %v", got, err)
	}
	key := append(appendDotKey(nil, areaIndex, sampleDots[0]), 0, 0, 0, 0, 0, 0, 0, 9)
	if got, err := readBlock(nil, key, records["block"]); err != nil || !reflect.DeepEqual(got, sampleBlock) {
		t.Errorf("block: got %v, %v", got, err)
	}
	if got, err := decodeJoin(records["join"]); err != nil || !reflect.DeepEqual(got, j) {
		t.Errorf("join: got %+v, %v", got, err)
	}
}

// TestLaterVersion: fields that a later version adds are passed over, and a
// later version that broke with this one is refused (R33).
func TestLaterVersion(t *testing.T) {
	i := identity{node: 1, actor: 0xa1}
	b := i.append(nil)
	b[0]++
	if got, err := decodeIdentity(pack.AppendString(b, "new")); err != nil || got != i {
		t.Errorf("with a field more: got %+v, %v", got, err)
	}
	b = i.append(nil)
	b[1] = 2
	if _, err := decodeIdentity(b); err == nil {
		t.Error("version 2 was read as version 1")
	}
	raw := append([]byte{0x94, 0x00, 0x05}, pack.AppendString(pack.AppendBytes(nil, []byte("v")), "new")...)
	o := dvv.NewObject(dvv.VV{}, dvv.Sibling{Dot: sampleDots[0], Value: raw})
	got, err := decodeObject(appendObject(nil, o))
	if err != nil || !got.Equal(o) || valueOf(got.Siblings()[0]).HLC != 5 {
		t.Errorf("a payload with a field more: got %v, %v", got, err)
	}
}

// FuzzReceive throws frames at a store that has agreed with the sender.
func FuzzReceive(f *testing.F) {
	for _, frame := range sampleFrames() {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		db := kv.NewMemory()
		now := time.UnixMilli(1_700_000_000_000)
		r, err := Open(db, Config{Node: 1, Policy: testPolicy{}, Rand: func() uint64 { return 0x2222 | 1 }}, now)
		if err != nil {
			t.Fatal(err)
		}
		r.SetMembers(now, 1, []Member{{ID: 2}})
		ready, _ := r.Ready()
		if err := db.Write(ready.Batch, true); err != nil {
			t.Fatal(err)
		}
		r.Committed(ready.Seq)
		p := r.peer(2)
		r.nonce, p.nonce, p.up, p.challenge, p.actor = 0x2222, 0x1111, true, 5, 0xa1
		p.incoming = &incoming{id: 77, full: true, request: r.clock, progress: now}
		r.join = &joining{joinState: joinState{donor: 2}}
		if g, err := r.openRanging(now, p, 7); err == nil {
			g.reading.begin(sampleClock)
			g.agreed, g.done, g.mask = true, true, 1<<63
			r.ranging, r.rangingWith = g, 2
		}
		p.served, _ = r.openRanging(now, p, 7)
		p.served.reading.begin(sampleClock)
		for range 2 {
			r.Receive(now, 2, frame)
			for n := 0; r.Busy() && n < 10; n++ {
				r.Work(now)
			}
		}
		ready, _ = r.Ready()
		if ready.Batch == nil {
			return
		}
		if err := db.Write(ready.Batch, true); err != nil {
			t.Fatal(err)
		}
		snapshot, _ := db.Snapshot()
		defer snapshot.Release()
		if _, err := Inspect(snapshot); err != nil {
			t.Fatalf("a frame made the store's own records unreadable: %v", err)
		}
	})
}

// FuzzRecords holds the decoders of what lies on disk: no panic, and what is
// read is written as it was.
func FuzzRecords(f *testing.F) {
	f.Add(appendObject(nil, sampleObject()))
	f.Add(appendPeers(nil, 4, samplePeers()))
	f.Add(appendRetired(nil, sampleGreeting().retired))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := decodeObject(b); err == nil {
			again, err := decodeObject(appendObject(nil, o))
			if err != nil || !again.Equal(o) {
				t.Fatalf("object %v: again %v, %v", o, again, err)
			}
		}
		decodeState(b, nil)
		decodeIdentity(b)
		decodePeers(b)
		decodeRetired(b)
		decodeJoin(b)
		readBlock(nil, make([]byte, blockKeyBytes), b)
	})
}
