// Package packet reads and writes the control packets of MQTT 3.1, 3.1.1 and 5.
//
// Purpose: the one codec of the house, used by broker, client and bench.
// State owned: none; every value belongs to its caller.
// Concurrency: functions are pure; values are not safe for concurrent use.
// Guarantees: (1) decoding never reads beyond the bytes it was given and never
// allocates what a length field claims: memory grows with the fields that were
// received; (2) what decodes encodes to the same meaning; (3) every refusal is
// an *Error with the MQTT 5 reason code that the standard asks for and a fixed
// sentence; (4) in steady state PUBLISH and the acks are decoded and encoded
// without allocation, with properties as well.
//
// Left to the session, because the bytes of one packet do not tell: who may
// send a packet or a property (a client sends no subscription identifier in
// PUBLISH, a server no session expiry in DISCONNECT), limits that were agreed
// in CONNECT, an empty client id, and what topics and filters must be.
// MQTT 3.1 is read as leniently as its text asks for: user name and password
// may be missing in spite of their flags, DUP may stand on packets sent again.
//
// On failure the connection must be closed; a value whose decoding failed holds
// nothing of use, except the Version of a Connect. Encoding what the standard
// cannot express is our own mistake and panics with BUG.
package packet
