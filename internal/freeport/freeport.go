// Package freeport finds ports for brokers that tests and benchmarks start.
//
// They lie below the range from which the kernel takes the ports of outgoing
// connections, so that one is still free when its broker is started again. The
// package has no state but the place where it looks next; all of it may be used
// by several goroutines at once.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// The ports that are given out: above those of well-known services, below those
// of outgoing connections (32768 on Linux).
const (
	first = 10_000
	count = 22_000
)

// next is where to look next. It begins at random, because other processes look
// for ports too, and only grows: what was given out is not given out again, be it
// in use by now or not.
var next atomic.Uint32

func init() { next.Store(rand.Uint32N(count)) }

// Find finds n free ports of 127.0.0.1 in a row and returns the first of them.
func Find(n int) (int, error) {
	for range 200 {
		at := int(next.Add(uint32(n))-uint32(n)) % count
		if at+n <= count && free(first+at, n) {
			return first + at, nil
		}
	}
	return 0, errors.New("no free ports between 10000 and 32000")
}

// Address finds a free port and returns it as an address.
func Address() (string, error) {
	port, err := Find(1)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

func free(port, n int) bool {
	for i := range n {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+i)))
		if err != nil {
			return false
		}
		_ = l.Close() // it has served
	}
	return true
}
