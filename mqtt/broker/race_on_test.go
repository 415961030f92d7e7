//go:build race

package broker

// raceEnabled shortens loops and lifts budgets that the race detector breaks.
const raceEnabled = true
