// Package metric counts what the broker does and shows it: to Prometheus, to
// the command line and to the $SYS tree, all from one declaration a metric.
//
// A part of the broker registers its metrics once, keeps the pointers it gets
// and adds to them. Nothing looks a metric up by name on a hot path.
//
// State owned: a Registry holds the list of families; each Counter, Gauge and
// Histogram holds its own value.
//
// Concurrency: everything is safe for concurrent use. Counters and gauges are
// one atomic word on a cache line of their own. Functions given to GaugeFunc
// and CounterFunc are called without a lock held, from whichever goroutine
// reads the registry.
//
// Guarantees:
//
//  1. Counter.Add, Gauge.Add and Histogram.Observe never allocate, never block
//     and take no lock.
//  2. A name is registered once; a second registration of a name, or of a
//     VerneMQ name, panics.
//  3. Each calls back in the order of names, then of label values, so that two
//     listings of the same state are equal byte by byte.
//  4. A label value is fixed when a vec is registered: no client can make the
//     number of series grow.
//
// On failure: wrong declarations are mistakes of ours and panic with "BUG:" at
// start; nothing can fail afterwards.
package metric
