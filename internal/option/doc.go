// Package option declares every setting of the broker once and reads them.
//
// Purpose: an option is one descriptor (Option): its key, kind, unit, default,
// bounds and documentation. The file keys, the environment variables, the
// flags, the help, the example file, the reference page and the run-time
// listing are all derived from that table; nothing else in the repository
// spells out an option. The keys and meanings are those of vernemq.conf, so
// that its users can bring theirs; options that cannot apply here are known
// all the same and answered with a reason.
//
// State owned: the table, built once and immutable; a Settings, which holds
// one immutable snapshot of all values at a time.
//
// Concurrency: everything is safe for concurrent use. Reads take the current
// snapshot with one atomic load; Set swaps it under a mutex. Change
// callbacks run without a lock, one after the other, in the order of the
// changes.
//
// Guarantees:
//
//  1. Precedence is defaults, then files in order with the last assignment of
//     a key winning, then environment, then flags.
//  2. Load reports every fault at once, each with where the value was set;
//     it changes nothing outside the Settings that it returns.
//  3. An unknown key is a fault that names the nearest known one.
//  4. A Settings without faults holds only values within their bounds; the
//     typed accessors cannot fail, except by a key or kind that the table does
//     not have, which is our mistake and panics.
//  5. A value marked secret leaves only through the typed accessors; listings,
//     faults and warnings show it masked.
//  6. A listener's setting comes from the listener, else from its protocol,
//     else from the root, else from the default, in this order for every key.
//  7. Equal tables give equal pages, byte for byte.
//
// Failure: a file that cannot be read, or is larger than its limit, is a
// fault like any other. Includes are bounded in depth and number.
package option
