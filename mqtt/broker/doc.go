// Package broker joins sessions, topics, queues and metadata into an MQTT
// broker: it registers clients, routes what they publish, and keeps what must
// outlive a connection.
//
// State owned. The registry of clients by (mountpoint, client id); one topic
// index per mountpoint; the timer wheel for keep alive, wills and expiry; the
// routes of this node as they are announced, and those of other nodes, which
// stand in the topic indexes as clients.
// Sessions, subscriptions and retained messages live in package metadata,
// queued messages in package queue; what is here is derived from them at boot.
//
// Concurrency. A connection's driver steps its own session and, while routing,
// the sessions of the receivers, one at a time. Locks, in the order in which
// they may nest:
//
//	batch.mu → client.mu → routes.mu
//	batch.mu → client.mu → conn.Conn.Locker → (queue.Store and metadata.Store, which never call back under a lock)
//	batch.mu → flights.mu, remotes.mu → the topic index
//
// client.mu is the connection's own Locker while the session ends with its
// connection, and a mutex of its own for sessions that do not. No two client
// locks nest. No system call, channel send or callback happens under one.
// Registration of one client id is serialised by its slot in the registry,
// which is held across waits and therefore only taken by workers, or tried.
//
// Guarantees.
//
//  1. A QoS 1 or 2 message is acknowledged after it is stored for every
//     persistent session that matched (P1).
//  2. CONNACK with a persistent session, SUBACK and UNSUBACK follow the commit
//     of what they acknowledge; a subscription matches before its SUBACK.
//  3. One client id is one session; a second CONNECT takes it over (P8).
//  4. Every buffer has a bound, and what is given up at it is counted.
//
// In a cluster, behind the interface Cluster:
//
//  5. SUBACK follows when every reachable member routes the filter and holds what
//     is stored of it (R6).
//  6. A QoS 1 or 2 message is acknowledged when each matching node has confirmed
//     it or our spool for that node has it (R9); a retained one is on every
//     reachable node before anything is matched (R8).
//  7. What came from a node is passed on to none.
//  8. A publish that is not admitted has had no effect: it waits in the line of its
//     client (R14), or is refused with a code that means so (R11).
//  9. What is changed of a session's subscriptions at another node holds here
//     without another CONNECT soon after the tables meet; it brings no retained
//     messages (P6, P8).
//
// On failure. A panic inside a step ends that session. A store that fails
// refuses what needs it with a reason code; nothing unsaved is acknowledged.
package broker
