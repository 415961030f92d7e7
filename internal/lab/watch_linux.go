package lab

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"tombolo/internal/admin"
)

// View is what the node says of the cluster; safe for concurrent use. It asks
// over the admin socket, which no cut of the network touches.
func (b *Broker) View(ctx context.Context) (v admin.ClusterView, err error) {
	err = b.Ask(ctx, "GET", "/api/v1/cluster", nil, nil, &v)
	return v, err
}

// Set changes a setting of the running node; safe for concurrent use.
func (b *Broker) Set(ctx context.Context, key, value string) error {
	return b.Ask(ctx, "PUT", "/api/v1/options/"+url.PathEscape(key), nil, map[string]string{"value": value}, nil)
}

// Ask puts a request to the node's API; safe for concurrent use.
func (b *Broker) Ask(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	c := admin.NewSocketClient(filepath.Join(b.Options["data_dir"], "admin.sock"))
	defer c.Close()
	return c.Do(ctx, method, path, query, body, answer)
}

// Metric is the value of a counter or gauge, summed over its labels; safe for
// concurrent use.
func (b *Broker) Metric(ctx context.Context, name string) (sum float64, err error) {
	var list struct {
		Metrics []struct {
			Name  string   `json:"name"`
			Value *float64 `json:"value"`
		} `json:"metrics"`
	}
	if err := b.Ask(ctx, "GET", "/api/v1/metrics", url.Values{"filter": {name}}, nil, &list); err != nil {
		return 0, err
	}
	for _, m := range list.Metrics {
		if m.Name == name && m.Value != nil {
			sum += *m.Value
		}
	}
	return sum, nil
}

// Seen reports whether a view is what is waited for.
type Seen func(v *admin.ClusterView) bool

// Torn is a view that misses a member.
func Torn(v *admin.ClusterView) bool { return v.Split }

// Whole is a view without a split, in which everything is admitted.
func Whole(v *admin.ClusterView) bool {
	return v.Standing == "joined" && !v.Split && v.Opened && v.Gate.Register && v.Gate.Publish && v.Gate.Subscribe && v.Gate.Unsubscribe
}

// lookEvery is the time between two looks at a node.
const lookEvery = 20 * time.Millisecond

// Await waits until each of the nodes sees what is waited for, and returns after
// how long, since a moment, each of them did.
func (t *Trial) Await(ctx context.Context, since time.Time, nodes []int, seen Seen) ([]time.Duration, error) {
	took, errs := make([]time.Duration, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { took[i], errs[i] = t.await(ctx, since, n, seen) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return took, err
		}
	}
	return took, nil
}

func (t *Trial) await(ctx context.Context, since time.Time, node int, seen Seen) (time.Duration, error) {
	for {
		v, err := t.Brokers[node].View(ctx)
		if err == nil && seen(&v) {
			return time.Since(since), nil
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("lab: node %d does not come to see it in %v: %w (%v): split %v missing %v opened %v gate %+v standing %s %s",
				node+1, time.Since(since).Round(time.Millisecond), ctx.Err(), err, v.Split, v.Missing, v.Opened, v.Gate, v.Standing, v.Waits)
		}
		pause(ctx, lookEvery)
	}
}

// All is the numbers of all nodes.
func (t *Trial) All() []int {
	out := make([]int, len(t.Brokers))
	for i := range out {
		out[i] = i
	}
	return out
}
