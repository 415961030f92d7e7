// Package e2e tests the tombolo program as its users meet it: the built
// binary, started as a process, with clients, brokers and shells that nobody
// here wrote.
//
// Purpose: what the packages' own tests cannot show: that real clients work,
// that what was acknowledged outlives kill -9, that a node starts, stops and
// complains as documented, that the README's commands work as they stand, and
// what a message costs. State owned: none; each test has its own processes,
// ports and data directory. Concurrency: tests run one after another, because
// they measure processes. Guarantees: (1) no test waits for time to pass, only
// for what should happen; (2) what is random is seeded, and a failure prints
// the seed; (3) a component that is missing fails the test with the command
// that installs it. Failure: a test shows the log of the node it ran.
package e2e
