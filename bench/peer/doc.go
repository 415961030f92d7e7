// Package peer starts brokers, ours and others', as real processes to measure.
//
// Purpose: a definition says how a broker is started; some are built in, any
// other comes from a small JSON file.
// State owned: the processes that Start started and their directories.
// Concurrency: a Broker belongs to the goroutine that started it.
// Guarantees: (1) when Start returns without an error the broker answers
// CONNECT; (2) it listens on ports that were free, and keeps its data in a new
// directory; (3) Stop ends what Start started and nothing else, and removes
// the directory.
// Failure: an error that carries the last words of the process.
package peer
