package compare

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"tombolo/bench"
	"tombolo/bench/peer"
)

// errEnded marks a broker that ended while others were measured.
var errEnded = errors.New("it ended")

// startAll starts every broker, for runs that share them. What was started is
// stopped by stopAll, also after an error.
func (cfg *Config) startAll(ctx context.Context) (running []*peer.Broker, err error) {
	for i := range cfg.Brokers {
		profile := cfg.Profile
		profile.Dir = fmt.Sprintf("%s/%s", profile.Dir, cfg.Brokers[i].Name)
		b, err := peer.Start(ctx, cfg.Brokers[i], profile)
		if err != nil {
			return running, err
		}
		running = append(running, b)
	}
	return running, nil
}

func stopAll(running []*peer.Broker) (err error) {
	for _, b := range running {
		err = errors.Join(err, b.Stop())
	}
	return err
}

// on runs one scenario on a broker that is up.
func on(ctx context.Context, d *peer.Definition, b *peer.Broker, cfg bench.Config, tick func(bench.Progress)) (*bench.Result, error) {
	if words, ended := b.Ended(); ended {
		return nil, fmt.Errorf("%w: %s", errEnded, words)
	}
	return measure(ctx, d, b, cfg, tick)
}

// Paired is the ratio of a broker to the first one, run by run: what the machine
// did beside fell on both runs of a pair. The median lies between Low and High with a
// probability of 95 %, by the ranks of the pairs, whatever their distribution.
type Paired struct {
	Pairs             int
	Median, Low, High float64
}

// pairsMin is how few pairs say nothing of an interval.
const pairsMin = 6

// Paired is that of one figure; false if runs are missing or too few.
func (r *Row) Paired(figure *bench.Row, broker int) (Paired, bool) {
	first, other := r.Cells[0].Results, r.Cells[broker].Results
	if broker == 0 || len(first) != len(other) || len(first) < pairsMin {
		return Paired{}, false
	}
	var ratios []float64
	for i := range first {
		a, known := figure.Value(first[i])
		b, also := figure.Value(other[i])
		if !known || !also || a == 0 {
			return Paired{}, false
		}
		ratios = append(ratios, b/a)
	}
	slices.Sort(ratios)
	n := len(ratios)
	low := max(0, int((float64(n)-1.96*math.Sqrt(float64(n)))/2))
	return Paired{Pairs: n, Median: (ratios[(n-1)/2] + ratios[n/2]) / 2, Low: ratios[low], High: ratios[n-1-low]}, true
}
