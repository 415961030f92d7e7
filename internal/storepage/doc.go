// Package storepage tells what the databases of a node hold: for tombolo store,
// which opens those of a node that is stopped, and for the API of one that runs.
//
// State owned: none. Concurrency: each call reads one snapshot of its own, while
// others write. Guarantee: nothing is changed. Failure: what cannot be read is an
// error; what can be read and is wrong is a fault, which is a line of text.
package storepage
