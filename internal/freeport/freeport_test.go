package freeport

import (
	"net"
	"strconv"
	"testing"
)

// TestNotTwice: a port is given out once, though nobody listens there yet.
func TestNotTwice(t *testing.T) {
	given := map[string]bool{}
	for range 300 {
		address, err := Address()
		if err != nil {
			t.Fatal(err)
		}
		if given[address] {
			t.Fatalf("%s for the second time", address)
		}
		given[address] = true
	}
}

// TestInARow: none of the ports is in use, and none is the kernel's.
func TestInARow(t *testing.T) {
	before, err := Find(1)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(before+2)))
	if err == nil { // else another has it, which does as well
		defer taken.Close()
	}
	port, err := Find(3)
	if err != nil {
		t.Fatal(err)
	}
	if port <= before+2 && before+2 < port+3 {
		t.Errorf("%d to %d, of which %d is taken", port, port+2, before+2)
	}
	if port < first || port+3 > first+count {
		t.Errorf("%d to %d lie outside", port, port+2)
	}
	for i := range 3 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+i)))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}
