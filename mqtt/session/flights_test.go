package session

import (
	"math/rand/v2"
	"testing"

	"tombolo/mqtt/packet"
)

// TestFlights holds the table against a map, with identifiers of all kinds: in a
// row, from anywhere, and such that share their low bits.
func TestFlights(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 50 {
		var table flights
		twin := map[packet.ID]flight{}
		for step := range 2_000 {
			id := packet.ID(1 + (step+r.IntN(40))%packetIDsPerBlock)
			switch r.IntN(10 + round) {
			case 0:
				id = packet.ID(1 + r.IntN(1<<16-1))
			case 1:
				id = packet.ID(1 + r.IntN(8)<<13)
			}
			if r.IntN(5) < 3 {
				f := flight{seq: uint64(step), qos: 1}
				table.put(id, f)
				twin[id] = f
			} else {
				table.remove(id)
				delete(twin, id)
			}
			if got, ok := table.get(id); got != twin[id] || ok != (twin[id] != flight{}) {
				t.Fatalf("round %d, step %d, id %d: %+v, %v; want %+v", round, step, id, got, ok, twin[id])
			}
		}
		seen := 0
		for id, f := range table.all {
			seen++
			if f != twin[id] {
				t.Fatalf("id %d: %+v, want %+v", id, f, twin[id])
			}
		}
		if seen != len(twin) || table.count != seen {
			t.Fatalf("%d flights, %d counted, want %d", seen, table.count, len(twin))
		}
	}
}

// One message that the client never acknowledges does not make the table grow
// while all others come and go, and identifiers do not run out at the largest
// quota.
func TestFlightsOfAStuckClient(t *testing.T) {
	o := outbound{low: 1, quota: 20}
	stuck := o.allocate()
	o.take(stuck, flight{qos: 1})
	for range 5 * packetIDsPerBlock {
		id := o.allocate()
		if id == stuck {
			t.Fatal("an identifier that is in flight was given again")
		}
		o.take(id, flight{qos: 1})
		o.end(id)
	}
	if len(o.flights.slots) > flightSlotsMin {
		t.Errorf("%d places for 2 flights", len(o.flights.slots))
	}
	for o.used < packetIDsPerBlock-1 {
		o.take(o.allocate(), flight{qos: 1})
	}
	o.end(stuck)
	if id := o.allocate(); id != stuck && o.flights.count != packetIDsPerBlock-2 {
		t.Errorf("the last identifier is %d", id)
	}
}

// A change within all loses nothing, whether or not the table is full.
func TestFlightsChangeWithin(t *testing.T) {
	for count := 1; count < 20; count++ {
		var table flights
		for id := range count {
			table.put(packet.ID(1+id), flight{seq: 1})
		}
		n := 0
		for id, f := range table.all {
			n++
			if id%2 == 0 {
				table.remove(id)
			} else {
				f.seq = 2
				table.put(id, f)
			}
		}
		if n != count || table.count != (count+1)/2 {
			t.Errorf("%d of %d were seen, %d are left", n, count, table.count)
		}
	}
}

// TestR19Blocks: each connection of a session takes its packet ids from another one of
// eight blocks, so that one which lacks what was in flight on those before gives none
// of theirs again.
func TestR19Blocks(t *testing.T) {
	block := func(connects uint8) (ids [packetIDsPerBlock - 1]packet.ID) {
		o := outbound{}
		o.attach(&Limits{ReceiveMaxClient: 1<<16 - 1}, &Params{Version: packet.V5, ReceiveMax: 1<<16 - 1}, connects)
		for i := range ids {
			ids[i] = o.allocate()
			o.take(ids[i], flight{qos: 2})
		}
		return ids
	}
	given := map[packet.ID]uint8{}
	for connects := uint8(5); connects < 5+Blocks; connects++ {
		for _, id := range block(connects) {
			if other, before := given[id]; before || id == 0 {
				t.Fatalf("connection %d gives identifier %d, which connection %d gave", connects, id, other)
			}
			given[id] = connects
			if got := BlockOf(uint16(id)); got != connects%Blocks {
				t.Fatalf("identifier %d of block %d counts as of block %d", id, connects%Blocks, got)
			}
		}
	}
}
