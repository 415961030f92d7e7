package twin

// Bug is a set of mistakes to make.
type Bug uint64

// The mistakes: wrong variants of reference §1.7, bugs of §1.4, and slips that
// the invariants of §1.6 and the rules R18, R30, R32 name.
const (
	BugAdoptOwnEntryOnly  Bug = 1 << iota // adopt only the responder's own clock entry after an exchange
	BugClockBeforeObjects                 // fill with a clock that is older than the objects
	BugCollectEarly                       // collect deletes without asking members that cannot be reached
	BugReuseActor                         // keep actor and counter after a rollback
	BugSharedContext                      // no residual context for keys: one shared one
	BugAdoptEarly                         // adopt the whole clock with the first chunk
	BugAckBeforeCommit                    // acknowledge, then write
	BugSendBeforeCommit                   // replicate, then write
	BugSplitBatch                         // objects and clock in two batches
	BugIndexLosesLive                     // live dots do not enter the index
	BugIndexKeepsDead                     // overwritten dots stay in the index
	BugDigestDrifts                       // joins forget the digest of what they drop
	BugJumpCounter                        // lease counters: a restart jumps ahead
	BugForgetRetired                      // drop the retired actor's clock entry
	BugMintTwice                          // mint an actor that was used before
	BugReadyEarly                         // a joining node serves at once
	BugNoStrip                            // keep the whole context with each key
	BugWallClockWins                      // merge concurrent values by wall clock
	BugDeleteForgets                      // a delete carries no context
	BugDeleteWins                         // a delete covers what it has not seen
	BugFullJoinRevives                    // a full join adds what was seen and dropped here
	BugFullJoinDrops                      // a full join drops what the other never saw
	BugForgetHLC                          // the hybrid clock restarts from the wall
	BugSendEverything                     // an exchange carries the whole store
	BugOneExchange                        // one exchange at a time, without time limit
	BugFloorFromWinner                    // the floor is that of the winning record
	BugAcceptClone                        // two holders of one node id are both served
	BugForgetHorizon                      // the collection horizon is not shown
	BugClockForgets                       // a restart loads an older clock
	BugReceiveTwice                       // a doubled message is counted twice
	BugClockLosesSibling                  // siblings that came along do not enter the clock
	BugReturnAsBefore                     // a returning node makes a plain exchange with its old actor
	BugClaimSpans                         // a chunk claims the whole range that was asked for
	BugNoDeleteDots                       // the index keeps no deletes
	BugCapWithoutJoin                     // collection by the cap, and no full join to make up for it
	BugNeverCollect                       // deletes are never collected
	BugReturnForgets                      // a returning node drops what it wrote by itself
	bugEnd
)

// Bugs is every single mistake.
func Bugs() []Bug {
	var all []Bug
	for b := Bug(1); b < bugEnd; b <<= 1 {
		all = append(all, b)
	}
	return all
}
