// Package log writes what the broker has to say: one line an event, to the
// console, to a file or to both, as text or JSON, with a level for each
// subsystem that can be changed while it runs.
//
// A subsystem asks for its logger once, by a name that an operator could say
// ("mqtt", "link", "store"), and gets a plain *slog.Logger. Cores never log:
// what is worth a line leaves them as an effect.
//
// State owned: the open log files, the level of each subsystem, and in a
// Limiter the keys seen lately.
//
// Concurrency: everything is safe for concurrent use. A line is written under
// the lock of its file and of nothing else.
//
// Guarantees:
//
//  1. A line below its subsystem's level costs one atomic read and no
//     allocation.
//  2. A level set at run time applies from the next line on, also in loggers
//     that were handed out before.
//  3. A line is never split between two files by rotation or Reopen.
//  4. A Limiter remembers at most its bound of keys, whatever peers send.
//
// On failure: a line that cannot be written (full disk, file taken away) is
// dropped and counted by Lost; logging never stops the broker. A file that
// cannot be opened at start is an error of Open.
package log
