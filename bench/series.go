package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Sample is a piece of the measured interval.
type Sample struct {
	At        float64 `json:"at_s"` // its end, from the beginning of the interval
	Published float64 `json:"published_per_second"`
	Delivered float64 `json:"delivered_per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	Max       float64 `json:"max_us"`
	CPU       float64 `json:"broker_cpu_percent"`
	Resident  int64   `json:"broker_resident_bytes"`
}

// samplesMax bounds the samples of one run; a longer run has longer pieces.
const samplesMax = 240

// series cuts the measured interval into samples. Its histogram is coarse, so
// that reading it does not make the generator late. Owned by the event loop.
type series struct {
	h       *hdrhistogram.Histogram // nil while nothing is measured
	began   int64
	last    mark
	every   int64
	samples []Sample
}

// begin starts the interval; total is how long it will be, 0 if unknown.
func (s *series) begin(r *run, total time.Duration) {
	s.h = hdrhistogram.New(1_000, recordedMax, 2)
	s.every = max(tickEvery, int64(total)/samplesMax)
	s.last = r.mark()
	if len(s.samples) == 0 {
		s.began = s.last.at
	}
}

func (s *series) record(ns int64) {
	if s.h != nil {
		_ = s.h.RecordValue(min(max(ns, 1_000), recordedMax)) // clamped, so it cannot fail
	}
}

// sample ends a piece if it is long enough.
func (s *series) sample(r *run) error {
	if s.h == nil || r.now-s.last.at < s.every-tickEvery/2 {
		return nil
	}
	return s.cut(r)
}

func (s *series) cut(r *run) error {
	broker, err := readUsage(r.cfg.PIDs)
	if err != nil {
		return fmt.Errorf("measuring the broker: %w", err)
	}
	now := mark{at: r.clock(), tally: r.total, broker: broker}
	d := time.Duration(now.at - s.last.at)
	if d <= 0 || len(s.samples) >= 4*samplesMax {
		return nil
	}
	at := func(q float64) float64 { return float64(s.h.ValueAtQuantile(q)) / 1e3 }
	s.samples = append(s.samples, Sample{
		At:        round(time.Duration(now.at - s.began).Seconds()),
		Published: perSecond(now.tally.sent-s.last.tally.sent, d),
		Delivered: perSecond(now.tally.received-s.last.tally.received, d),
		P50:       at(50), P99: at(99), Max: float64(s.h.Max()) / 1e3,
		CPU:      round(100 * (now.broker.CPU - s.last.broker.CPU).Seconds() / d.Seconds()),
		Resident: now.broker.Resident,
	})
	s.h.Reset()
	s.last = now
	return nil
}

// end takes what is left and stops.
func (s *series) end(r *run) error {
	if s.h == nil {
		return nil
	}
	var err error
	if r.clock()-s.last.at >= int64(50*time.Millisecond) || len(s.samples) == 0 {
		err = s.cut(r)
	}
	s.h = nil
	return err
}

// Point is one of a latency's percentiles.
type Point struct {
	Percentile float64 `json:"percentile"`
	Micros     float64 `json:"us"`
}

// curve is the latency by percentile, closer together towards the end.
func (r recorder) curve() []Point {
	if r.h.TotalCount() == 0 {
		return nil
	}
	var points []Point
	for _, q := range []float64{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999, 100} {
		points = append(points, Point{q, float64(r.h.ValueAtQuantile(q)) / 1e3})
		if float64(r.h.TotalCount())*(100-q)/100 < 1 {
			break // there is nothing beyond
		}
	}
	return points
}
