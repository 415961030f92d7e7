package queue

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tombolo/internal/goldentest"
	"tombolo/internal/kv"
	"tombolo/internal/wire"
)

// goldenValues is one example of every key and value, with what it means.
func goldenValues() []string {
	var k key
	var lines []string
	add := func(name string, key, value []byte) {
		lines = append(lines, fmt.Sprintf("%s\n  key   %s\n  value %s", name, hex.EncodeToString(key), hex.EncodeToString(value)))
	}
	plain := &Message{ID: MessageID{0x1122334455667788, 300}, QoS: 1, Body: []byte("body")}
	full := &Message{ID: MessageID{1, 2}, QoS: 2, ExpiresAt: 1_800_000_000_123}
	lease := leaseRecord{0x0102030405060708, 1_048_577, 1025, 257}
	add("lease", leaseKey(), lease.append(nil))
	add("name of queue 7, mountpoint m, client id c", nameKey("m\x00c"), appendName(nil, 7, 0))
	add("name of queue 9, whose last generation is not the current one", nameKey("m\x00d"), appendName(nil, 9, 0x0123456789))
	add("record, inline", k.record(7, 1, 42), appendRecord(nil, plain, &Target{QoS: 1}, place{}))
	add("record, shared, retain, expires, two subscription ids", k.record(7, 1, 43),
		appendRecord(nil, full, &Target{QoS: 2, Retain: true, SubIDs: []uint32{1, 300}}, place{258, 5}))
	body := appendHolder(appendHolder(appendBodyHead(nil, 2), holder{7, 1, 43}), holder{9, 1, 300})
	add("body of two records", k.body(258, 5), append(body, "shared"...))
	seg := segment{bodies: 6, bytes: 700, live: 9}
	add("segment", k.segment(258), seg.append(nil))
	empty := newLane(7, "").add(1)
	add("cursor of a fresh queue", k.cursor(7, 1), empty.cursor.append(nil))
	c := cursor{head: 40, tail: 500, lease: 4096, sent: 44, forgotten: spans{{41, 43}, {45, 46}},
		bound: []Binding{{43, 9}, {46, 300}}, released: []uint16{8, 7}}
	add("cursor with all there is", k.cursor(7, 1), c.append(nil))
	older := cursor{head: 40, tail: 60, lease: 60, sent: 44, forgotten: spans{{41, 43}}, absent: spans{{1, 20}, {42, 43}}}
	add("cursor of an older generation, with what is elsewhere", k.cursor(9, 0x0123456789), older.append(nil))
	add("inbound packet id 513", k.inbound(7, 513), (&received{id: MessageID{1, 300}}).append(nil))
	begun := received{id: MessageID{1, 301}, state: begunHere, holders: []QueueID{7, 300}}
	add("inbound packet id 514, of a message that has begun and that two queues here have", k.inbound(7, 514), begun.append(nil))
	add("dropped queue", k.dropped(7), []byte{formatVersion})
	add("moving mark: the rest is at node 11, packet ids up to 65,541 were taken", k.moving(9), (&moving{from: 11, taken: 65541}).value(nil))
	add("fences of a session: the broker's own bytes", k.fences(9), []byte{formatVersion, 1, 2, 3})
	add("stray of peer 11, mountpoint m, client id c: the broker's own bytes", strayKey(11, "m\x00c"), []byte{formatVersion, 1, 2, 3})
	mark := appliedMark{incarnation: 1_800_000_000_123, through: 5000, ended: spans{{5002, 5004}},
		outcomes: []outcomeRun{{4990, 3, wire.NoMatch, 16}, {5003, 1, wire.Refused, 0x97}}}
	add("applied mark of peer 11, stream 6", k.applied(11, 6), mark.append(nil))
	add("message of ingress 1 that may come again, taken in at a time", k.remembered(MessageID{1, 300}),
		binary.AppendUvarint([]byte{formatVersion}, 1_800_000_000_123))
	return lines
}

func TestFormatIsAsInTheGoldenFile(t *testing.T) {
	goldentest.Text(t, "format-v1.txt", strings.Join(goldenValues(), "\n")+"\n",
		"the bytes on disk changed; that needs a new format version, and code that reads the old one")
}

// TestGoldenDatabaseIsRead puts the golden bytes into a database and opens it.
func TestGoldenDatabaseIsRead(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "format-v1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	db := kv.NewMemory()
	var b kv.Batch
	var k []byte
	for line := range strings.Lines(string(data)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		bin, err := hex.DecodeString(strings.TrimSpace(rest))
		switch {
		case err != nil:
		case word == "key":
			k = bin
		// The fresh cursor and the dropped mark are of the same queue.
		case word == "value" && k[0] != tableDropped:
			b.Put(k, bin)
		}
	}
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	s := start(t, db, StoreConfig{})
	if id := s.NextID(); id != (MessageID{0x0102030405060708, 1_048_577}) {
		t.Errorf("first id %v", id)
	}
	id, st, err := s.Open("m\x00c", false)
	st.instance = 0
	want := State{Generation: 1, Head: 40, Tail: 4096, SentThrough: 44, Count: 457, Bound: []Binding{{43, 9}, {46, 300}},
		Released: []uint16{8, 7}, Received: []Received{{513, MessageID{1, 300}, false}, {514, MessageID{1, 301}, true}}}
	if id != 7 || err != nil || !reflect.DeepEqual(st, want) {
		t.Errorf("queue %d %+v, want %+v, %v", id, st, want, err)
	}
	if through, outcomes := s.AppliedThrough(11, 1_800_000_000_123, 6); through != 5000 || len(outcomes) != 3 {
		t.Errorf("applied through %d, %v", through, outcomes)
	}
	es := s.do(id, Op{Kind: OpRead, Seq: 43, N: 1, Tag: ReadTag}).es
	if len(es) != 1 || string(es[0].Msg.Body) != "shared" || es[0].Msg.ExpiresAt != 1_800_000_000_123 || !es[0].Retain || !es[0].Dup {
		t.Errorf("message 43: %+v", es)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(appendRecord(nil, &Message{QoS: 2, ExpiresAt: 5, Body: []byte("x")}, &Target{QoS: 2, SubIDs: []uint32{1, 2}}, place{}))
	f.Add(appendRecord(nil, &Message{QoS: 1}, &Target{QoS: 1, Retain: true}, place{300, 7}))
	f.Fuzz(func(t *testing.T, v []byte) {
		var e, e2 Entry
		var m, m2 Message
		at, err := decodeRecord(v, &e, &m)
		if err != nil {
			return
		}
		again := appendRecord(nil, &m, &Target{QoS: e.QoS, Retain: e.Retain, SubIDs: e.SubIDs}, at)
		at2, err := decodeRecord(again, &e2, &m2)
		if err != nil || at2 != at || m2.ID != m.ID || m2.ExpiresAt != m.ExpiresAt || m2.QoS != m.QoS || !bytes.Equal(m2.Body, m.Body) ||
			e2.QoS != e.QoS || e2.Retain != e.Retain || !reflect.DeepEqual(e2.SubIDs, e.SubIDs) {
			t.Errorf("%x decodes as %+v %+v, and again as %+v %+v, %v", v, e, m, e2, m2, err)
		}
	})
}

func FuzzDecodeCursor(f *testing.F) {
	c := cursor{head: 40, tail: 500, lease: 4096, sent: 44, forgotten: spans{{41, 43}, {45, 46}}, bound: []Binding{{43, 9}}, released: []uint16{8, 7}}
	f.Add(c.append(nil))
	f.Add([]byte{1, 1, 0, 0, 0, 200, 200, 200, 1})
	f.Fuzz(func(t *testing.T, v []byte) {
		c, err := decodeCursor(v)
		if err != nil {
			return
		}
		again, err := decodeCursor(c.append(nil))
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("%x decodes as %+v, and again as %+v, %v", v, c, again, err)
		}
		last := c.head
		for _, s := range c.forgotten {
			if s.lo <= last || s.hi <= s.lo || s.hi > c.tail {
				t.Errorf("%x: %+v is not normal", v, c)
			}
			last = s.hi
		}
		if st := (&strand{cursor: c, committed: c.tail}); st.live() < 0 || st.head > st.tail {
			t.Errorf("%x: %d live, %+v", v, st.live(), c)
		}
		for _, s := range c.absent {
			for seq := s.lo; seq < min(s.hi, s.lo+100); seq++ {
				if seq >= c.head && !c.forgotten.has(seq) {
					t.Errorf("%x: %d is absent and there", v, seq)
				}
			}
		}
	})
}

func FuzzDecodeOthers(f *testing.F) {
	lease, seg := leaseRecord{1, 2, 3, 4}, segment{bodies: 6, bytes: 700, live: 9}
	f.Add(lease.append(nil))
	f.Add(seg.append(nil))
	f.Add(append(appendHolder(appendBodyHead(nil, 1), holder{7, 1, 43}), "shared"...))
	f.Add(appendBodyHead(nil, 1<<40))
	f.Add(appendName(nil, 4, 9))
	f.Add((&received{id: MessageID{5, 6}, state: begunHere, holders: []QueueID{7, 300}}).append(nil))
	f.Fuzz(func(t *testing.T, v []byte) {
		if l, err := decodeLease(v); err == nil {
			if again, err := decodeLease(l.append(nil)); err != nil || again != l {
				t.Errorf("lease %x: %+v and %+v, %v", v, l, again, err)
			}
		}
		if g, err := decodeSegment(v); err == nil {
			if again, err := decodeSegment(g.append(nil)); err != nil || again != g {
				t.Errorf("segment %x: %+v and %+v, %v", v, g, again, err)
			}
		}
		if body, hs, err := decodeBody(v, true); err == nil {
			again := appendBodyHead(nil, len(hs))
			for _, h := range hs {
				again = appendHolder(again, h)
			}
			body2, hs2, err := decodeBody(append(again, body...), true)
			if err != nil || !bytes.Equal(body, body2) || !reflect.DeepEqual(hs, hs2) {
				t.Errorf("body %x: %v and %v, %v", v, hs, hs2, err)
			}
		}
		if id, current, err := decodeName(v); err == nil {
			if id2, current2, err := decodeName(appendName(nil, id, current)); err != nil || id2 != id || current2 != current {
				t.Errorf("name %x: %d %d", v, id, current)
			}
		}
		if r, err := decodeReceived(v); err == nil {
			if again, err := decodeReceived(r.append(nil)); err != nil || !reflect.DeepEqual(again, r) && r.state != receivedWhole {
				t.Errorf("inbound %x: %+v", v, r)
			}
		}
	})
}
