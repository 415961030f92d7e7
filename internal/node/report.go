package node

import (
	"context"
	"strconv"
	"strings"
	"time"

	"tombolo/internal/metric"
)

// systreePause is how often a reporter that is switched off looks whether it
// was switched on.
const systreePause = time.Second

// report publishes the metrics under $SYS/<node>/ until ctx ends. The first
// report follows the start at once, so that a subscriber need not wait.
func (n *Node) report(ctx context.Context) error {
	next := time.NewTimer(systreePause)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		pause := n.set.Duration("systree_interval")
		if n.set.Bool("systree_enabled") && pause > 0 {
			n.publishSystree()
		}
		next.Reset(max(pause, systreePause))
	}
}

// publishSystree publishes every metric once, in VerneMQ's form: the name with
// its underscores as levels.
func (n *Node) publishSystree() {
	prefix := "$SYS/" + n.set.String("nodename") + "/"
	mount := n.set.String("systree_mountpoint")
	qos := uint8(n.set.Int("systree_qos"))
	retain := n.set.Bool("systree_retain")
	sums := map[string]float64{}
	var order []string
	n.metrics.Each(func(s metric.Sample) {
		for _, name := range systreeNames(s) {
			if _, known := sums[name]; !known {
				order = append(order, name)
			}
			sums[name] += s.Value
		}
	})
	for _, name := range order {
		value := strconv.FormatFloat(sums[name], 'f', -1, 64)
		n.broker.Publish(mount, prefix+name, []byte(value), qos, retain)
	}
}

// systreeNames are the topics of a sample below the node: our name, and
// VerneMQ's where it means the same.
func systreeNames(s metric.Sample) []string {
	names := []string{strings.ReplaceAll(s.Name, "_", "/")}
	if s.Verne != "" && s.Verne != s.Name {
		names = append(names, strings.ReplaceAll(s.Verne, "_", "/"))
	}
	return names
}
