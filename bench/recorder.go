package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// recorder collects durations from a microsecond's fraction to ten minutes,
// to three digits. Owned by the event loop.
type recorder struct{ h *hdrhistogram.Histogram }

const recordedMax = int64(10 * time.Minute)

func newRecorder() recorder { return recorder{hdrhistogram.New(100, recordedMax, 3)} }

func (r recorder) record(ns int64) {
	// The value is clamped, so that recording cannot fail.
	_ = r.h.RecordValue(min(max(ns, 100), recordedMax))
}

// Distribution is a set of durations, in microseconds.
type Distribution struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean_us"`
	Min   float64 `json:"min_us"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p99_9_us"`
	P9999 float64 `json:"p99_99_us"`
	Max   float64 `json:"max_us"`
}

func (r recorder) distribution() Distribution {
	if r.h.TotalCount() == 0 {
		return Distribution{}
	}
	at := func(q float64) float64 { return float64(r.h.ValueAtQuantile(q)) / 1e3 }
	return Distribution{
		Count: uint64(r.h.TotalCount()), Mean: r.h.Mean() / 1e3,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), P9999: at(99.99),
		Min: float64(r.h.Min()) / 1e3, Max: float64(r.h.Max()) / 1e3,
	}
}
