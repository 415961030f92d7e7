// Package bench puts load on an MQTT broker and tells what it bore.
//
// Purpose: the scenarios of tombolo bench as a library, against any broker,
// over the network only: a load that is the same all the time (latency, p2p,
// fanin, fanout, shared, match), or steps (connect, idle, subscribe, retained,
// offline). Package peer starts brokers, package compare runs scenarios on
// several of them, package report draws results.
// State owned: the connections of one run, and nothing after it.
// Concurrency: Run does all in its caller's goroutine: one event loop owns
// every connection and every figure, so that the generator takes no lock and
// wakes nobody. A goroutine each is used only to connect.
// Guarantees: (1) every message carries its publisher, its number and its time,
// and every one is accounted for as received, lost, duplicated or reordered;
// (2) at a fixed rate latency counts from the moment a message should have been
// sent, so that a broker that stalls the generator is not flattered; (3) the
// figures come from one interval, between warm-up and end, for deliveries,
// processor time and latency alike; (4) the generator measures itself, and the
// result says when it was the limit.
// Failure: a connection that breaks ends the run with an error that names it.
// Linux only: it reads /proc and waits with epoll.
package bench
