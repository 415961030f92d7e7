// Package spool keeps on disk what could not be sent yet: for each node of the
// cluster the tail of its publish stream (R9, R11).
//
// It is being built; [Open] says so until it is there.
package spool
