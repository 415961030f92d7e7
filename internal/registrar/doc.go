// Package registrar decides which node may serve a client id.
//
// Purpose. A node that is about to let a client in asks the leader of the
// client's id. The leader has whoever holds the id close the client, and then
// grants it under an epoch that is higher than every one before it (R16, R17).
// When nodes meet again after a cut, the registrar finds the ids that both let
// in, and has one of the two closed (R28).
//
// State owned. As an asker: the registrations under way. As a holder: which
// clients are here, and up to which epoch each id was given away. As a leader:
// who is where, of the ids that it leads, and what is being decided. All of it
// is soft: it is built anew after a change of the view.
//
// Concurrency. Core is pure: it is stepped with messages and time and returns
// effects. Registrar is the shell: one goroutine owns the core. Its methods are
// safe for concurrent use; only Register blocks.
//
// Guarantees.
//
//  1. The leader of an id is the member of the view with the highest hash of
//     (member, id); a request of another view is refused with DenyView and the
//     asker tries again, for at most two seconds (R16). While members are missing and
//     registering is open, an asker whose leader stays in another view decides
//     itself, and asks every node that it reaches.
//  2. A leader grants only after each node that may hold the id has said that
//     it is closed there, or is not in the view while registering is open (R17).
//     Until a leader has the listing of every member, each member may hold any
//     id.
//  3. An epoch is granted once, and epochs of an id rise: a leader goes above
//     all it has heard of; a node refuses what is not above the epoch to which
//     it gave the id away.
//  4. Under the policy majority more than half of the members accept before a
//     grant (R25).
//  5. Register answers within AnswerMax, whatever happens.
//  6. A request with IfIdle closes nobody: whoever has the client says no (R23).
//     A member that runs an earlier version does not know the flag, and closes it.
//  7. Of two nodes of one view that hold one id, the one with the lower epoch
//     closes it, without anybody asking.
//
// On failure. A message that makes no sense is counted and dropped. What is
// lost is asked for again; a leader that stops answering is asked until the
// view changes or the time is up.
package registrar
