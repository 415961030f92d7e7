package bench

// row is one line of the summary: a figure of each run.
type row struct {
	name  string
	value func(*Result) (float64, bool) // false: not known
	form  string
}

func known(f func(*Result) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) { return f(r), true }
}

func count(f func(*Delivery) uint64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) { return float64(f(&r.Delivery)), r.delivers() }
}

// delivers reports whether the scenario has messages.
func (res *Result) delivers() bool { return res.Idle == nil && res.Connect == nil }

func micros(f func(*Distribution) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) { return f(&r.Latency), r.Latency.Count > 0 }
}

// perDelivery knows nothing where the processor time is not of deliveries.
func perDelivery(f func(*Broker) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		if r.Broker == nil || r.Stored != nil || !r.delivers() {
			return 0, false
		}
		return f(r.Broker), true
	}
}

// of gives a figure of what only some scenarios measure.
func of[T any](get func(*Result) *T, f func(*T) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		if p := get(r); p != nil {
			return f(p), true
		}
		return 0, false
	}
}

func broker(r *Result) *Broker               { return r.Broker }
func idle(r *Result) *IdleFigures            { return r.Idle }
func storming(r *Result) *ConnectFigures     { return r.Connect }
func subscribed(r *Result) *SubscribeFigures { return r.Subscribe }
func shared(r *Result) *ShareFigures         { return r.Share }
func stored(r *Result) *StoredFigures        { return r.Stored }

var rows = []row{
	{"published /s", func(r *Result) (float64, bool) { return r.Rates.Published, r.delivers() }, "%.0f"},
	{"delivered /s", func(r *Result) (float64, bool) { return r.Rates.Delivered, r.delivers() }, "%.0f"},
	{"latency p50 µs", micros(func(d *Distribution) float64 { return d.P50 }), "%.0f"},
	{"latency p90 µs", micros(func(d *Distribution) float64 { return d.P90 }), "%.0f"},
	{"latency p99 µs", micros(func(d *Distribution) float64 { return d.P99 }), "%.0f"},
	{"latency p99.9 µs", micros(func(d *Distribution) float64 { return d.P999 }), "%.0f"},
	{"latency max µs", micros(func(d *Distribution) float64 { return d.Max }), "%.0f"},
	{"broker CPU %", of(broker, func(b *Broker) float64 { return b.CPUPercent }), "%.1f"},
	{"broker deliveries /CPU s", perDelivery(func(b *Broker) float64 { return b.DeliveriesPerCPU }), "%.0f"},
	{"broker CPU µs /delivery", perDelivery(func(b *Broker) float64 { return b.MicrosPerDelivery }), "%.2f"},
	{"broker resident MiB", of(broker, func(b *Broker) float64 { return float64(b.ResidentBytes) / (1 << 20) }), "%.1f"},
	{"sent", count(func(d *Delivery) uint64 { return d.Sent }), "%.0f"},
	{"received", count(func(d *Delivery) uint64 { return d.Received }), "%.0f"},
	{"lost", count(func(d *Delivery) uint64 { return d.Lost }), "%.0f"},
	{"duplicated", count(func(d *Delivery) uint64 { return d.Duplicated }), "%.0f"},
	{"reordered", count(func(d *Delivery) uint64 { return d.Reordered }), "%.0f"},
	{"connections", of(idle, func(f *IdleFigures) float64 { return float64(f.Connections) }), "%.0f"},
	{"connects /s", of(idle, func(f *IdleFigures) float64 { return f.ConnectsPerSecond }), "%.0f"},
	{"connects /broker CPU s", of(idle, func(f *IdleFigures) float64 { return f.ConnectsPerCPU }), "%.0f"},
	{"bytes /connection", of(idle, func(f *IdleFigures) float64 { return f.BytesEach }), "%.0f"},
	{"broker idle CPU %", of(idle, func(f *IdleFigures) float64 { return f.CPUPercent }), "%.1f"},
	{"connections", of(storming, func(f *ConnectFigures) float64 { return float64(f.Connections) }), "%.0f"},
	{"connects /s", of(storming, func(f *ConnectFigures) float64 { return f.PerSecond }), "%.0f"},
	{"connects /broker CPU s", of(storming, func(f *ConnectFigures) float64 { return f.PerCPU }), "%.0f"},
	{"bytes /connection", of(storming, func(f *ConnectFigures) float64 { return f.BytesEach }), "%.0f"},
	{"subscribes /s", of(subscribed, func(f *SubscribeFigures) float64 { return f.PerSecond }), "%.0f"},
	{"subscribes /broker CPU s", of(subscribed, func(f *SubscribeFigures) float64 { return f.PerCPU }), "%.0f"},
	{"bytes /subscription", of(subscribed, func(f *SubscribeFigures) float64 { return f.BytesEach }), "%.0f"},
	{"SUBSCRIBE p50 µs", of(subscribed, func(f *SubscribeFigures) float64 { return f.Latency.P50 }), "%.0f"},
	{"SUBSCRIBE p99 µs", of(subscribed, func(f *SubscribeFigures) float64 { return f.Latency.P99 }), "%.0f"},
	{"least of a member", of(shared, func(f *ShareFigures) float64 { return float64(f.Least) }), "%.0f"},
	{"most of a member", of(shared, func(f *ShareFigures) float64 { return float64(f.Most) }), "%.0f"},
	{"stored /s", of(stored, func(f *StoredFigures) float64 { return f.PerSecond }), "%.0f"},
	{"stored /broker CPU s", of(stored, func(f *StoredFigures) float64 { return f.PerCPU }), "%.0f"},
	{"bytes /stored message", of(stored, func(f *StoredFigures) float64 { return f.BytesEach }), "%.0f"},
	{"all given out in s", of(stored, func(f *StoredFigures) float64 { return f.GivenIn }), "%.3f"},
	{"given out /broker CPU s", of(stored, func(f *StoredFigures) float64 { return f.GivenPerCPU }), "%.0f"},
	{"sessions forgotten", of(stored, func(f *StoredFigures) float64 { return float64(f.Forgotten) }), "%.0f"},
	{"generator busy", known(func(r *Result) float64 { return r.Generator.Busy }), "%.2f"},
	{"generator lag p99 µs", func(r *Result) (float64, bool) {
		if r.Generator.Lag == nil {
			return 0, false
		}
		return r.Generator.Lag.P99, true
	}, "%.0f"},
}
