package sim

import "testing"

// BenchmarkReplica is one seed of the product's core after the other; x/real is
// how much faster than the clock it runs on one core.
func BenchmarkReplica(b *testing.B) { benchmark(b, ReplicaMaker()) }

// BenchmarkTwin is the same with the naive replica.
func BenchmarkTwin(b *testing.B) { benchmark(b, TwinMaker(0)) }

func benchmark(b *testing.B, m Maker) {
	var simulated float64
	for seed := range uint64(b.N) {
		simulated += Run(seed, Profiles(m)[seed%2]).Simulated.Seconds()
	}
	b.ReportMetric(simulated/b.Elapsed().Seconds(), "x/real")
}
