// Package lab is the partition laboratory: hosts of their own on one machine,
// the network between them under control, and a record of what clients saw.
//
// Purpose. A [Network] makes a network namespace for each host and carries every
// packet between them itself, so that it can cut, delay, thin out and throttle
// each direction of each pair, TCP and gossip alike. A cut is silent, as a
// pulled cable is: nobody gets an error. A [Host] starts processes, which may be
// frozen and killed, and opens connections as a client on that host would.
//
// State owned. The namespaces, one TUN device in each, the processes that were
// started. Close gives all of it back; namespaces that a killed laboratory left
// behind are removed by the next one.
//
// Concurrency. A Network and its Hosts may be used from any goroutine. One
// goroutine reads each device, one for each directed pair delivers what has to
// wait; rules are immutable and swapped atomically.
//
// Guarantees.
//
//  1. A rule holds for every packet that is read after SetRule has returned.
//  2. A packet that no rule touches is delivered at once, in order.
//  3. What waits for one direction is bounded; what does not fit is dropped, as a
//     router does it, and counted.
//
// On failure. It wants Linux and root; without them New says so. A host whose
// device fails is cut off, and Close returns the error.
package lab
