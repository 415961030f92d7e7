package bench

// Better says which of two figures is the better one.
type Better uint8

// The directions; Neither is for figures that are neither good nor bad.
const (
	Neither Better = iota
	More
	Less
)

// Row is one line of a summary: a figure of each run. Immutable.
type Row struct {
	Name   string
	Value  func(*Result) (float64, bool) // false: not known
	Form   string                        // for fmt
	Better Better
}

// Rows are all lines of a summary, in their order.
func Rows() []Row { return rows }

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

var rows = []Row{
	{"published /s", func(r *Result) (float64, bool) { return r.Rates.Published, r.delivers() }, "%.0f", Neither},
	{"delivered /s", func(r *Result) (float64, bool) { return r.Rates.Delivered, r.delivers() }, "%.0f", More},
	{"latency p50 µs", micros(func(d *Distribution) float64 { return d.P50 }), "%.0f", Less},
	{"latency p90 µs", micros(func(d *Distribution) float64 { return d.P90 }), "%.0f", Less},
	{"latency p99 µs", micros(func(d *Distribution) float64 { return d.P99 }), "%.0f", Less},
	{"latency p99.9 µs", micros(func(d *Distribution) float64 { return d.P999 }), "%.0f", Less},
	{"latency max µs", micros(func(d *Distribution) float64 { return d.Max }), "%.0f", Less},
	{"broker CPU %", of(broker, func(b *Broker) float64 { return b.CPUPercent }), "%.1f", Less},
	{"broker deliveries /CPU s", perDelivery(func(b *Broker) float64 { return b.DeliveriesPerCPU }), "%.0f", More},
	{"broker CPU µs /delivery", perDelivery(func(b *Broker) float64 { return b.MicrosPerDelivery }), "%.2f", Less},
	{"broker resident MiB", of(broker, func(b *Broker) float64 { return float64(b.ResidentBytes) / (1 << 20) }), "%.1f", Less},
	{"sent", count(func(d *Delivery) uint64 { return d.Sent }), "%.0f", Neither},
	{"received", count(func(d *Delivery) uint64 { return d.Received }), "%.0f", Neither},
	{"lost", count(func(d *Delivery) uint64 { return d.Lost }), "%.0f", Less},
	{"duplicated", count(func(d *Delivery) uint64 { return d.Duplicated }), "%.0f", Less},
	{"reordered", count(func(d *Delivery) uint64 { return d.Reordered }), "%.0f", Less},
	{"connections", of(idle, func(f *IdleFigures) float64 { return float64(f.Connections) }), "%.0f", Neither},
	{"connects /s", of(idle, func(f *IdleFigures) float64 { return f.ConnectsPerSecond }), "%.0f", More},
	{"connects /broker CPU s", of(idle, func(f *IdleFigures) float64 { return f.ConnectsPerCPU }), "%.0f", More},
	{"bytes /connection", of(idle, func(f *IdleFigures) float64 { return f.BytesEach }), "%.0f", Less},
	{"broker idle CPU %", of(idle, func(f *IdleFigures) float64 { return f.CPUPercent }), "%.1f", Less},
	{"connections", of(storming, func(f *ConnectFigures) float64 { return float64(f.Connections) }), "%.0f", Neither},
	{"connects /s", of(storming, func(f *ConnectFigures) float64 { return f.PerSecond }), "%.0f", More},
	{"connects /broker CPU s", of(storming, func(f *ConnectFigures) float64 { return f.PerCPU }), "%.0f", More},
	{"bytes /connection", of(storming, func(f *ConnectFigures) float64 { return f.BytesEach }), "%.0f", Less},
	{"subscribes /s", of(subscribed, func(f *SubscribeFigures) float64 { return f.PerSecond }), "%.0f", More},
	{"subscribes /broker CPU s", of(subscribed, func(f *SubscribeFigures) float64 { return f.PerCPU }), "%.0f", More},
	{"bytes /subscription", of(subscribed, func(f *SubscribeFigures) float64 { return f.BytesEach }), "%.0f", Less},
	{"SUBSCRIBE p50 µs", of(subscribed, func(f *SubscribeFigures) float64 { return f.Latency.P50 }), "%.0f", Less},
	{"SUBSCRIBE p99 µs", of(subscribed, func(f *SubscribeFigures) float64 { return f.Latency.P99 }), "%.0f", Less},
	{"least of a member", of(shared, func(f *ShareFigures) float64 { return float64(f.Least) }), "%.0f", Neither},
	{"most of a member", of(shared, func(f *ShareFigures) float64 { return float64(f.Most) }), "%.0f", Neither},
	{"stored /s", of(stored, func(f *StoredFigures) float64 { return f.PerSecond }), "%.0f", More},
	{"stored /broker CPU s", of(stored, func(f *StoredFigures) float64 { return f.PerCPU }), "%.0f", More},
	{"bytes /stored message", of(stored, func(f *StoredFigures) float64 { return f.BytesEach }), "%.0f", Less},
	{"all given out in s", of(stored, func(f *StoredFigures) float64 { return f.GivenIn }), "%.3f", Less},
	{"given out /broker CPU s", of(stored, func(f *StoredFigures) float64 { return f.GivenPerCPU }), "%.0f", More},
	{"sessions forgotten", of(stored, func(f *StoredFigures) float64 { return float64(f.Forgotten) }), "%.0f", Less},
	{"generator busy", known(func(r *Result) float64 { return r.Generator.Busy }), "%.2f", Neither},
	{"since written, p50 µs", func(r *Result) (float64, bool) {
		if r.Written == nil {
			return 0, false
		}
		return r.Written.P50, true
	}, "%.0f", Neither},
	{"generator lag p99 µs", func(r *Result) (float64, bool) {
		if r.Generator.Lag == nil {
			return 0, false
		}
		return r.Generator.Lag.P99, true
	}, "%.0f", Neither},
}
