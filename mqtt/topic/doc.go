// Package topic holds the names and filters of MQTT and the routing table
// that maps filters to subscribers.
//
// State owned: an [Index] owns its table of exact filters, its trie of
// wildcard filters and its cache of results. One Index serves one mountpoint.
//
// Concurrency: everything is safe for concurrent use. Writers of one Index
// serialise on one mutex. [Index.Match] takes no lock at all and never waits
// for a writer: whatever a reader can reach is either immutable or reached
// through an atomic pointer that the writer moves in one step.
//
// Guarantees, each held by a test:
//
//  1. A Match that begins after Subscribe, Unsubscribe or a shared form of
//     them returned sees its effect. One that overlaps it may or may not.
//  2. A subscription that exists for the whole of a Match is in the result,
//     whatever else is added, removed or resized meanwhile.
//  3. A subscriber stands at most once in Result.Direct, however many of its
//     filters match; a shared subscription stands once per (group, filter).
//  4. A Result never changes after Match returned it.
//  5. Match allocates nothing when the result comes from the cache.
//  6. The order within a Result depends on the history of calls alone, not on
//     hashes or on chance.
//  7. No input panics, valid or not. Validation is the caller's first step;
//     an invalid filter that gets here all the same is taken literally where
//     it is not well formed, alike in [Matches] and in Index.
//  8. The memory of a subscription stays within the budget of memory_test.go.
//
// Bounds: the cache holds at most Config.CacheEntries results and at most
// Config.CacheHits hits that are not shared with the table; the oldest in the
// way make room. The table itself is bounded by whoever admits subscriptions.
//
// Failure: nothing here can fail except validation, whose errors are the
// sentinels in errors.go.
package topic
