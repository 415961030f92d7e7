// Package packet reads and writes the control packets of MQTT 3.1, 3.1.1 and 5.
//
// Purpose: the one codec of the house, used by broker, client and bench.
// State owned: none; every value belongs to its caller.
// Concurrency: functions are pure; values are not safe for concurrent use.
// Guarantees: (1) decoding never reads beyond the bytes it was given and never
// allocates what a length field claims; (2) what decodes encodes to the same
// meaning; (3) every refusal is an *Error with the MQTT 5 reason code that the
// standard asks for. On failure the connection must be closed.
package packet
