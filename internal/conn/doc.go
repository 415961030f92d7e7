// Package conn carries bytes between sockets and handlers. It stands between
// the kernel and the protocol: it knows listeners, TLS, WebSocket frames and
// the PROXY header, and nothing of MQTT.
//
// # Purpose
//
// A Handler is pushed to: the driver of a connection calls OnBytes,
// OnRoundEnd, OnWritable and OnClose; the handler never reads. Output is
// appended to the connection's outbox under its lock and leaves with Flush,
// which any goroutine may call. The hot path from the read of one socket to the
// write of another is therefore one goroutine without a channel hop.
//
// On Linux the sockets are accepted and driven by raw non-blocking system calls;
// those that have to wait are made inside RawConn.Read and RawConn.Write. An ordinary
// system call of Go wakes the
// runtime's monitor thread, which costs a lone message three times the CPU (see
// docs/decisions/connection-layer.md). Elsewhere a plain net.Conn is driven
// through the same seam. Config.Loops drives plain sockets from event loops
// instead of a goroutine each.
//
// # State owned
//
// A Listener owns its socket and the set of its connections. A connection owns
// its descriptor, its outbox (guarded by Locker) and its input buffer (owned by
// the driver goroutine). Buffers come from pools and go back when they are
// empty: an idle connection holds none.
//
// # Concurrency
//
// One goroutine a connection is its driver, or a loop for many; a second one
// exists only while the socket does not take what is written. A connection that is new,
// or has had nothing to read for some seconds, sleeps: it has no goroutine until bytes, the end
// of the stream or a call of Wake, ResumeRead or Shutdown start one. The watcher, two
// goroutines a listener, tells drivers of peers that have hung up, and sleeping
// connections of what there is to read. Locker is the only lock that a caller
// sees. Under it: Append, Reserve, Buffered. Never under it: Flush. Either way:
// Wake, PauseRead, ResumeRead, Shutdown, Info. No lock is held across a system
// call, except for the reference on the descriptor that each call takes; the driver
// of a plain socket keeps it while it calls the handler.
//
// # Guarantees
//
//  1. Calls to one Handler never overlap, and OnClose is the last, exactly once.
//  2. Bytes reach OnBytes in order, none twice once consumed, none lost.
//  3. Bytes given to OnBytes stay valid until OnRoundEnd returns.
//  4. Bytes appended leave in order of Append; a Flush that finds another flush
//     under way makes that one look again before it ends.
//  5. No descriptor is used after it was closed.
//  6. A declared length (a packet's, a frame's) never allocates more than twice
//     what was received, beyond the fixed read buffer.
//  7. Shutdown delivers what was buffered if the peer takes it within the linger.
//  8. Wake is followed by OnRoundEnd, or by OnClose.
//
// # Failure
//
// A broken socket ends its own connection with the error given to OnClose. At
// the descriptor limit, and above MaxConnections, new connections are refused
// and counted, and accepting does not spin. Nothing is logged: what is worth a
// line is passed to Config.Events.
package conn
