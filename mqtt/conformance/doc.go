// Package conformance holds the list of all normative statements of MQTT 3.1.1
// and MQTT 5, each with the code of ours that obeys it, or the reason why it is
// not ours, and with the test that shows it.
//
// Purpose. Rules is that list; the tests of this package compare it with the
// standards' numbers, with the functions of the tree and with the tests, and
// speak to a whole node over sockets, byte by byte, where that is the proof.
// docs/conformance.md is generated from the list.
//
// State owned. None: the list is a constant.
//
// Concurrency. Safe for concurrent use; nothing changes.
//
// Guarantees, held by tests.
//
//  1. Every statement of both standards stands in the list once.
//  2. Every function that an entry names exists.
//  3. Every test or script that an entry names exists and carries the
//     statement's number in the form "5/3.1.2-24" or "3.1.1/3.1.2-24".
//
// On failure. A number without an entry, or an entry without its function or
// test, fails the tests.
package conformance
