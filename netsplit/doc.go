// Package netsplit decides whether the cluster is whole, and what clients may
// do while it is not.
//
// Purpose: the gate that every CONNECT, PUBLISH, SUBSCRIBE and UNSUBSCRIBE
// asks. The detector that moves it comes with clustering; on a single node the
// gate is always open and is asked all the same.
// State owned: one immutable Snapshot behind an atomic pointer.
// Concurrency: Gate is safe for concurrent use; readers take no lock.
// Guarantees: (1) one Snapshot answers all questions about one packet, so that
// a decision is taken once (R9); (2) a Snapshot never changes.
// On failure: there is nothing here that can fail.
package netsplit
