// Package replica is the core of the replicated store: it is stepped, and does
// nothing by itself.
//
// # Purpose
//
// Every member of a cluster holds all keys and takes writes without asking the
// others. The core turns writes, frames of peers and the passing of time into
// effects: batches for the disk, frames to send, events to count. It knows the
// protocol; the shell around it (package metadata) knows goroutines, disks and
// links, and the simulator runs the same core in one goroutine. The algebra is
// package dvv; read its documentation first.
//
// # State owned
//
// A Replica owns its clock, digest, actor, member table and the exchanges under
// way. What it reads it reads through a View; what it writes leaves in Ready.
// Between Ready and Committed it remembers what it wrote, so that the next step
// may follow before the disk is done.
//
// # Concurrency
//
// A Replica belongs to one goroutine, except for its HLC, which is safe from any.
//
// # Order of effects
//
// The effects of one Ready: write the batch with a sync, then send the messages
// and answer the writers, then call Committed. Effects of a later Ready leave
// after those of an earlier one. So nothing is acknowledged or sent that a crash
// could take back.
//
// # How two stores come to agree
//
//	push    what a batch wrote goes to every peer at once; it may be lost
//	probe   by turns a peer is asked whether it has the same: 60 bytes either way
//	pull    if not: the asker sends its clock, the other one its clock and, from
//	        the same snapshot, every key with a dot that the asker lacks. After the
//	        last chunk, and not before, the asker adopts the other's whole clock
//	join    all keys, when a pull would not be enough: an empty store, one that was
//	        away for too long or whose disk went back. In order of the keys, in
//	        pieces, and resumable
//	ranges  digests of what lies on the disk, at a cut of two clocks: finds and
//	        mends what a disk changed, whatever is being written (R32)
//	collect what a delete leaves behind goes when every durable member is known to
//	        have seen it, and everything those members wrote before that is here
//
// # What is lost
//
// A dot that no member has, of an actor that writes no more, stays a gap in every
// clock: the clock never claims what was not seen, and a write that comes back with
// a removed member or an old directory comes back under its own dot, once, and only
// if no context names it. The contexts that do are moved out of the objects (see
// lasting); the whole object, which is what is merged and sent, stays the same, so
// that the moving is right whatever it is triggered by. docs/decisions/metadata-gaps.md
// has the argument and what was refused.
//
// # Guarantees
//
//  1. A dot is issued once: the counter is durable before anything that bears it
//     leaves the store, and an actor is kept over a start only if every member
//     agrees (R30).
//  2. The clock never claims what was not merged (I5, I18, I20), nor what is lost.
//  3. Objects, index, clock and digest change in one batch (I30).
//  4. A put that a delete had not seen survives it in a set; of a register's
//     concurrent values the one of the highest rank, then clock, then dot is read,
//     whichever came first (I13, I33).
//  5. What goes out of an object is filled with the clock of the same cut (I19).
//  6. A step is bounded: at most one chunk of a transfer, or 512 keys of a join or
//     a collection; what is left is done by Work.
//
// # On failure
//
// A frame that cannot be read is an event and changes nothing. A record of our
// own that cannot be read ends the step that needed it with an event; the shell
// decides. An error of Open names what to do.
package replica
