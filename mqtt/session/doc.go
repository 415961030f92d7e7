// Package session is the MQTT protocol core: what one client and the broker
// owe each other between CONNECT and the end of the session, for MQTT 3.1,
// 3.1.1 and 5 alike.
//
// Purpose. A Handshake turns the first packets of a connection into one
// Request; a Session, attached to that connection, turns every further packet
// into packets to write and requests to the broker. Both are pure cores: bytes
// and the current time go in, Effects come out. What differs between protocol
// versions stands in one struct, dialect, fixed at CONNECT.
//
// State owned. A Session owns packet identifiers and their binding to queue
// entries, quotas in both directions, topic aliases, the order of
// acknowledgements and the set of inbound QoS 2 identifiers. It does not own
// messages: they are in the queue, which is stepped under the same lock.
//
// Concurrency. None inside: whoever holds the session's lock steps it. Nothing
// here reads a clock, draws a random number, starts a goroutine or logs.
//
// Guarantees.
//
//  1. Acknowledgements of one kind leave in the order in which the packets
//     came (MQTT 5 §4.6), whatever order the broker finishes in.
//  2. A packet identifier is never given to a new message while the client may
//     still hold an old one under it.
//  3. At QoS 2 to a durable queue the PUBLISH leaves after its binding is
//     durable, PUBREL after the release is durable, PUBREC after the message
//     is durable, PUBCOMP after the inbound identifier is forgotten durably.
//     So "exactly once" survives a crash between any two packets.
//  4. No more than the peer's Receive Maximum is in flight, and a peer that
//     exceeds ours is disconnected with 0x93.
//
// On failure. A wrong peer gets the reason code of the standard and a close;
// a violated invariant panics, which ends this session and no other.
package session
