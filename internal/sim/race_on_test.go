//go:build race

package sim

// doseDivisor makes the dose smaller under the race detector: there is one
// goroutine in a run, and nothing for it to find but in the cores.
const doseDivisor = 60
