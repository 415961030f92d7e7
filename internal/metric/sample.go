package metric

// Bucket is one cumulative bucket of a histogram. A value.
type Bucket struct {
	UpperBound float64
	Count      uint64 // observations at or below UpperBound
}

// Sample is one series as read at one moment. A value.
type Sample struct {
	Opts
	Kind       Kind
	LabelValue string   // of Opts.Label, "" without a label
	Value      float64  // of a counter or gauge; of a histogram the sum
	Count      uint64   // observations of a histogram
	Buckets    []Bucket // of a histogram, ascending, without the last one (+Inf)
}

func (f *family) sample(s series) Sample {
	out := Sample{Opts: f.opts, Kind: f.kind, LabelValue: s.label}
	if s.histogram == nil {
		out.Value = s.read()
		return out
	}
	out.Buckets, out.Count = s.histogram.buckets()
	out.Value = s.histogram.Sum()
	return out
}

// Each calls f with every series, sorted by name and label value. No lock is
// held meanwhile: f may register metrics, which this run does not show.
func (r *Registry) Each(f func(Sample)) {
	for _, fam := range r.snapshot() {
		for _, s := range fam.series {
			f(fam.sample(s))
		}
	}
}
