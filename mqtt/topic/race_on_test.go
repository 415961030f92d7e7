//go:build race

package topic

// raceEnabled shortens loops and lifts budgets that the race detector breaks.
const raceEnabled = true
