package member

import (
	"tombolo/internal/pack"
	"tombolo/internal/wire"
)

// facts is what a node says of itself by gossip; docs/formats/members.md draws
// it. At most 512 bytes, which is memberlist's bound: the names and addresses
// in it are bounded by Config. A value.
type facts struct {
	id      wire.NodeID
	name    string
	link    string
	version string
	origin  wire.NodeID
	formed  bool
	settled bool
}

const (
	factsFormat     = 1
	factsBytesMax   = 512
	versionBytesMax = 48
)

const (
	factFormed = 1 << iota
	factSettled
)

func appendFacts(dst []byte, f *facts) []byte {
	flags := uint64(0)
	if f.formed {
		flags |= factFormed
	}
	if f.settled {
		flags |= factSettled
	}
	dst = pack.AppendUint(pack.AppendArray(dst, 7), factsFormat)
	dst = pack.AppendString(pack.AppendUint(dst, uint64(f.id)), f.name)
	dst = pack.AppendString(pack.AppendString(dst, f.link), f.version)
	return pack.AppendUint(pack.AppendUint(dst, uint64(f.origin)), flags)
}

func parseFacts(b []byte) (f facts, err error) {
	r := wire.NewReader(b)
	n := r.Array()
	if r.Err() == nil && (n < 7 || n > 64) {
		r.Fail(pack.ErrRange)
	}
	if v := r.Uint(); r.Err() == nil && v < factsFormat {
		r.Fail(pack.ErrRange)
	}
	f.id = wire.NodeID(r.Uint())
	f.name = r.StringMax(nameBytesMax)
	f.link = r.StringMax(addressBytesMax)
	f.version = r.StringMax(versionBytesMax)
	f.origin = wire.NodeID(r.Uint())
	flags := r.Uint()
	for ; n > 7 && r.Err() == nil; n-- {
		r.Skip()
	}
	f.formed, f.settled = flags&factFormed != 0, flags&factSettled != 0
	if r.Err() == nil && (f.id == 0 || f.name == "") {
		r.Fail(pack.ErrRange)
	}
	return f, r.End()
}
