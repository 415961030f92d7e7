// Package queues holds what a broker's queues have to bear, as figures beside what
// is asked of them.
//
// Purpose: the rows of tombolo bench queue, each of which starts the broker that it
// measures: one persistent subscriber that keeps up, against the bare database and
// against mosquitto; many sessions that are away and return; a backlog that moves;
// the space after many messages; the start with many stored. State owned: the
// brokers of a row, while it runs. Concurrency: Run may be called from anywhere;
// rows run one after the other. Guarantees: (1) what is compared runs in turn in one
// row; (2) a row that lost or reordered a message is a fault. On failure: the row
// says why, the others go on.
package queues
