// Package admin is the door through which an operator looks at a node and
// changes it: health, metrics and the HTTP API that the command line uses.
//
// It serves two kinds of listener. The admin socket is a unix socket in the
// data directory; whoever connects as root or as the user that runs the broker
// needs no key. HTTP listeners show health and metrics to anybody who reaches
// them; the API is refused there, unless the listener is bound to loopback and
// the operator opened it explicitly.
//
// The package knows nothing of MQTT: it asks the node through the small
// interfaces in node.go and answers in JSON. A part that is nil in Config is
// answered with 501.
//
// State owned: none beyond the connections being served.
//
// Concurrency: a Server is safe for concurrent use; Serve runs until its
// context ends and returns when its connections have. The interfaces in Config
// are called from many goroutines at once.
//
// Guarantees:
//
//  1. An API request is answered only if it came over the admin socket from
//     root or the owner, or over a loopback listener that was opened for it,
//     from this machine and not from a web page.
//  2. Every answer that is not a success has the form {"error", "hint"}, and
//     the hint says what to do next.
//  3. Request bodies, lists and connections are bounded; a list that was cut
//     says "truncated".
//  4. Two equal states are listed equally: lists are sorted.
//
// On failure: an error of the node is returned to the asker and ends nothing
// else. A socket path that a living process answers on is not taken over.
package admin
