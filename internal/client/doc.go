// Package client is a small MQTT client for the tools of the house.
//
// Purpose: MQTT 3.1, 3.1.1 and 5 over TCP, TLS and WebSocket for tombolo
// pub and sub, for tests, and for bench where speed does not matter.
// State owned: one connection and what is in flight on it; nothing outlives it.
// Concurrency: Dial does the handshake in the caller; Run owns the read side
// until the connection ends and must be running for everything else. Publish,
// Subscribe, Unsubscribe and Disconnect may be called from any goroutine.
// Guarantees: (1) Publish returns when the broker has acknowledged, by the flow
// of the message's QoS; (2) a message at QoS 2 is handed out once on one
// connection; (3) at most inboundMax messages wait to be taken, then the socket
// is not read: the broker sees back-pressure; (4) all waiters are released when
// the connection ends.
// On failure the connection is closed and every call returns the first cause.
// There is no reconnect: a tool says what happened and ends.
package client
