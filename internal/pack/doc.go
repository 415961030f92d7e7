// Package pack appends and reads the part of msgpack that records on disk and
// frames between nodes are made of: arrays, unsigned and signed integers,
// booleans, strings and byte strings.
//
// Purpose: byte for byte what msgpack/v5 writes with compact integers, without
// reflection, and a reader that never allocates what a header declares: every
// length is held against the bytes that are left before anything is made of it
// (vmihailenco/msgpack#401). State owned: none; a Reader belongs to one
// goroutine.
//
// Guarantees:
//  1. What an Append function wrote the msgpack library reads as the same value.
//  2. A Reader accepts what the library writes for the same Go types.
//  3. No input makes a Reader panic, read past its end, or take more memory
//     than the input has bytes.
//
// On failure: a Reader keeps the first error and returns zero values from then
// on, so that a decoder asks once, at its end.
package pack
