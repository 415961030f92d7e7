// Package wire is what nodes say to each other: the frames of a link as bytes.
//
// Purpose: one header for every frame, and a codec for the body of each type.
// Bodies are msgpack arrays, written and read by hand, byte for byte what
// vmihailenco/msgpack/v5 writes with compact integers for a struct as an array.
// docs/formats/link.md draws them; testdata has a golden file for each.
//
// State owned: none. A Reader belongs to one goroutine. A body that is parsed
// into a struct fills the slices that the struct already has, so that a
// data-plane frame costs no allocation in steady state; such a struct holds
// views of the frame, which its comment says.
//
// Concurrency: functions may be called from anywhere.
//
// Guarantees:
//  1. What an Append function wrote, the msgpack library reads as the same
//     values, and the other way round.
//  2. No input makes a parser panic, read past its end, or take more memory than
//     a small multiple of the input's own length: every count and length is held
//     against the bytes that are left before anything is made of it.
//  3. A parser passes over values behind the last one it knows, so that a later
//     version can add some; it refuses a frame that has fewer.
//  4. Parsing what an Append function wrote gives the same struct, and appending
//     what was parsed gives bytes that parse to the same struct again.
//
// On failure: a Reader keeps its first fault and returns zero values from then
// on, so that a parser asks once, at its end. A fault is the peer's, never ours:
// the link that carried it is closed with a counted reason.
package wire
