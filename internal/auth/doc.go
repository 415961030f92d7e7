// Package auth answers who may connect and what they may publish and
// subscribe to: small interfaces, one per question, chains of them, and two
// sources, a password file and an ACL file in VerneMQ's grammar.
//
// State owned: a [PasswordFile] and an [ACLFile] own what they last read from
// their file; nothing is written. Hashes are computed in the caller's
// goroutine, at most PasswordConfig.Hashers at a time.
//
// Concurrency: everything is safe for concurrent use. Questions read an
// immutable table through an atomic pointer; Reload replaces it as a whole.
// The authorizers take no lock and allocate nothing for a PUBLISH.
//
// Guarantees, each held by a test:
//
//  1. No opinion at the end of a chain is a refusal.
//  2. A file that cannot be parsed or read changes nothing: the rules from
//     before stay, the fault is counted, and one line names file and line.
//     It is logged again only when it is another fault.
//  3. A missing file is a state of its own (State.Missing). For passwords it
//     means that there are no users; for an ACL that has been read before it
//     changes nothing. Both are VerneMQ's ways.
//  4. Password digests are compared in constant time, and an unknown user
//     costs what the dearest hash of the file costs, so that time does not
//     tell who exists. In a file that mixes schemes, the users of cheaper ones
//     can be told from the others; hashing them anew closes that. A right
//     password may be quick (guarantee 5); a wrong one never is.
//  5. A password that was right before is known again without the slow
//     derivation, by a keyed digest that lives in memory only and dies with
//     the user's line: a storm of reconnects is not a storm of derivations.
//  6. A rule with %u or %c never matches a client whose name holds a wildcard
//     character: as a name "+" would otherwise open every level.
//  7. A subscription is allowed only if one rule covers all that its filter
//     can match. VerneMQ compares the filter as if it were a topic, under which
//     "a/+" admits "a/#"; here it does not. All else is as in VerneMQ, and so
//     '#' and '+' in a rule match levels that begin with '$' as well.
//
// Differences from VerneMQ's grammar, all of them wider: comment lines in the
// password file, CR before the line end, blanks before a keyword, and
// "readwrite". "deny" is a fault rather than a filter named "deny …".
//
// Bounds: a file of at most 256 MiB; PasswordConfig.WaitingMax questions at
// a time wait for a hasher, more are refused as busy.
//
// Failure: see 2 and 3. Hash parameters from the file are bounded, so that a
// mistyped one cannot take the memory of the machine.
package auth
