// Package node assembles one broker node: stores, broker, listeners, the
// administration server and the reporters, from the options of one process.
//
// Purpose: the one place that knows all parts. State owned: the running parts
// and the node's identity in the data directory. Concurrency: New and Run
// belong to one goroutine; Reload and the methods that the administration
// server calls may come from any. Guarantees: (1) parts start in the order in
// which they need each other and stop in reverse, within shutdown_timeout, or are
// left behind five seconds after it;
// (2) listeners open after what is stored is loaded; (3) the first part that
// fails stops the rest, and Run returns its error. On failure: an error says
// what is wrong and what to do.
package node
