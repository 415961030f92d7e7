package member

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"tombolo/internal/goldentest"
	"tombolo/internal/wire"
)

// samples are filled values of every format.
func samples() (*Record, *kept, *facts) {
	r := &Record{Version: 7, Nonce: 1 << 63, Origin: 1, Forced: true, Members: []wire.Member{
		{ID: 1, Name: "node1", Link: "10.0.0.1:44053", Gossip: "10.0.0.1:44054"},
		{ID: 1 << 60, Name: "node2", Link: "10.0.0.2:44053", Gossip: "10.0.0.2:44054", State: wire.MemberStopped, Since: 1700000000000}}}
	next := &Record{Version: 8, Nonce: 3, Origin: 1, Members: r.Members[:1]}
	k := &kept{record: *r, promised: ballot{9, 2}, accepted: ballot{8, 1 << 60}, value: next}
	f := &facts{id: 1 << 60, name: "node2", link: "10.0.0.2:44053", version: "1.0.0", origin: 1, formed: true}
	return r, k, f
}

func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	goldentest.Hex(t, name, b, "other nodes and old files have it as it was")
	var v any
	if err := msgpack.Unmarshal(b, &v); err != nil {
		t.Errorf("%s: the library: %v", name, err)
	}
}

// TestFormats pins the bytes of docs/formats/members.md and sees them come
// back as they were, also with values of a later version behind them.
func TestFormats(t *testing.T) {
	r, k, f := samples()
	golden(t, "record", appendRecord(nil, r))
	golden(t, "kept", appendKept(nil, k))
	golden(t, "facts", appendFacts(nil, f))
	later := func(b []byte) []byte { return append(append([]byte{b[0] + 1}, b[1:]...), 0xa1, 'x') }
	for _, grow := range []func([]byte) []byte{slices.Clone[[]byte], later} {
		if got, err := parseRecord(grow(appendRecord(nil, r))); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("record comes back as %+v, %v", got, err)
		}
		if got, err := parseKept(grow(appendKept(nil, k))); err != nil || !reflect.DeepEqual(got, *k) {
			t.Errorf("kept comes back as %+v, %v", got, err)
		}
		if got, err := parseFacts(grow(appendFacts(nil, f))); err != nil || got != *f {
			t.Errorf("facts come back as %+v, %v", got, err)
		}
	}
	longest := facts{id: 1<<64 - 1, name: strings.Repeat("n", nameBytesMax), link: strings.Repeat("l", addressBytesMax),
		version: strings.Repeat("v", versionBytesMax), origin: 1<<64 - 1, formed: true, settled: true}
	if n := len(appendFacts(nil, &longest)); n > factsBytesMax {
		t.Errorf("facts can have %d bytes; memberlist takes %d", n, factsBytesMax)
	}
}

// FuzzFormats: no input makes a decoder panic, and what one takes it writes
// again so that it reads the same.
func FuzzFormats(f *testing.F) {
	r, k, x := samples()
	f.Add(appendRecord(nil, r))
	f.Add(appendKept(nil, k))
	f.Add(appendFacts(nil, x))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRecord(b); err == nil {
			if again, err := parseRecord(appendRecord(nil, r)); err != nil || !reflect.DeepEqual(r, again) {
				t.Errorf("record %+v comes back as %+v, %v", r, again, err)
			}
		}
		if k, err := parseKept(b); err == nil {
			if again, err := parseKept(appendKept(nil, &k)); err != nil || !reflect.DeepEqual(k, again) {
				t.Errorf("kept %+v comes back as %+v, %v", k, again, err)
			}
		}
		if x, err := parseFacts(b); err == nil {
			once := appendFacts(nil, &x)
			if again, err := parseFacts(once); err != nil || !bytes.Equal(appendFacts(nil, &again), once) {
				t.Errorf("facts %+v come back as %+v, %v", x, again, err)
			}
		}
	})
}

// TestRecordsAreChecked: no record that breaks its properties is taken.
func TestRecordsAreChecked(t *testing.T) {
	for name, spoil := range map[string]func(r *Record){
		"no version":     func(r *Record) { r.Version = 0 },
		"no origin":      func(r *Record) { r.Origin = 0 },
		"no members":     func(r *Record) { r.Members = nil },
		"not sorted":     func(r *Record) { slices.Reverse(r.Members) },
		"twice the same": func(r *Record) { r.Members[1].ID = r.Members[0].ID },
		"no name":        func(r *Record) { r.Members[0].Name = "" },
		"one name":       func(r *Record) { r.Members[1].Name = r.Members[0].Name },
		"a long address": func(r *Record) { r.Members[1].Link = strings.Repeat("l", addressBytesMax+1) },
		"no id":          func(r *Record) { r.Members[0].ID = 0 },
	} {
		r, _, _ := samples()
		spoil(r)
		if _, err := parseRecord(appendRecord(nil, r)); err == nil {
			t.Errorf("a record with %s is taken", name)
		}
	}
}
