package wire

import (
	"encoding/hex"
	"reflect"
	"testing"

	"tombolo/internal/pack"
)

// TestRoutesAudit: an audit (R5) travels behind what every reader knows, and a
// step without one says nothing of it.
func TestRoutesAudit(t *testing.T) {
	in := Routes{Sequence: 9, List: []Route{}, Audit: true, Count: 1 << 40, Hash: 1<<63 + 1}
	var out Routes
	if err := ParseRoutes(AppendRoutes(nil, &in), &out); err != nil {
		t.Fatal(err)
	}
	out.List = []Route{}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("got %+v, want %+v", out, in)
	}
	if err := ParseRoutes(AppendRoutes(nil, &Routes{Sequence: 10}), &out); err != nil || out.Audit || out.Count != 0 || out.Hash != 0 {
		t.Errorf("a step without an audit: %+v, %v", out, err)
	}
}

// TestHeartbeatOfBefore: a row that ends with the links is one without doubts
// and without a seat, also in memory that held another one.
func TestHeartbeatOfBefore(t *testing.T) {
	body := pack.AppendUint(pack.AppendUint(pack.AppendUint(pack.AppendUint(pack.AppendArray(nil, 5), 0), 1), 2), 3)
	body = pack.AppendArray(body, 1)
	body = pack.AppendUint(pack.AppendUint(pack.AppendUint(pack.AppendArray(body, 4), 7), 8), 9)
	body = pack.AppendUint(pack.AppendArray(body, 1), 5)
	h := Heartbeat{Rows: []Row{{Doubt: []NodeID{1}, Seated: true}}}
	if err := ParseHeartbeat(body, &h); err != nil {
		t.Fatal(err)
	}
	if r := h.Rows[0]; r.Node != 7 || len(r.Up) != 1 || r.Up[0] != 5 || len(r.Doubt) != 0 || r.Seated {
		t.Errorf("got %+v", r)
	}
}

// TestR23FlagOfBefore: a registration and a release that end before the flag are
// without it, also in memory that held it.
func TestR23FlagOfBefore(t *testing.T) {
	for _, x := range []struct {
		body  string
		parse func([]byte) (idle bool, err error)
	}{
		{"9801cf1000000000000000a0a8636c69656e742d3192cf00000100000000000203c3c2", func(b []byte) (bool, error) {
			m := Register{IfIdle: true}
			err := ParseRegister(b, &m)
			return m.IfIdle || m.Home != 3 || !m.CleanStart, err
		}},
		{"9501a0a8636c69656e742d3192cf00000100000000000202", func(b []byte) (bool, error) {
			m := Release{IfIdle: true}
			err := ParseRelease(b, &m)
			return m.IfIdle || m.NewHome != 2, err
		}},
	} {
		b, err := hex.DecodeString(x.body)
		if err != nil {
			t.Fatal(err)
		}
		if idle, err := x.parse(b); idle || err != nil {
			t.Errorf("%s: read wrongly, or %v", x.body, err)
		}
	}
}
