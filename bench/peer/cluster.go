package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// StartCluster starts n nodes of this program that form one cluster on loopback,
// a process each, and waits until each of them serves. The caller stops them.
func StartCluster(ctx context.Context, program, version string, n int, p Profile) ([]*Broker, error) {
	var seeds []string
	var ports []int
	for range n {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
		seeds = append(seeds, "127.0.0.1:"+strconv.Itoa(port))
	}
	secret := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	nodes := make([]*Broker, n)
	faults := make([]error, n)
	var starting sync.WaitGroup
	for i := range n {
		name := "node" + strconv.Itoa(i+1)
		d := Tombolo(program, version, "--nodename", name, "--cluster.name", "bench-"+secret[:8], "--cluster.bind_address", "127.0.0.1",
			"--cluster.link_port", "{port3}", "--cluster.gossip_port", strconv.Itoa(ports[i]), "--cluster.seeds", strings.Join(seeds, ","),
			"--cluster.secret_key", secret, "--cluster.expected_members", strconv.Itoa(n))
		own := p
		if p.Kind != "" {
			own.Dir = p.Dir + "-" + name
		}
		starting.Go(func() {
			if nodes[i], faults[i] = Start(ctx, d, own); faults[i] == nil {
				faults[i] = nodes[i].ready(ctx)
			}
		})
	}
	starting.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, errors.Join(err, StopAll(nodes))
	}
	return nodes, nil
}

// ready waits until a node of ours says so: it has joined, and knows what the
// others route.
func (b *Broker) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeoutMax)
	defer cancel()
	at := slices.Index(b.Command, "--listener.http.default") + 1
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.Command[at]+"/ready", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-b.ended:
			return fmt.Errorf("it ended: %s", b.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%w: it is not ready; it said: %s", context.Cause(ctx), b.lastWords())
		case <-tick.C:
		}
	}
}

// StopAll stops brokers at once, and waits for all of them.
func StopAll(brokers []*Broker) error {
	faults := make([]error, len(brokers))
	var stopping sync.WaitGroup
	for i, b := range brokers {
		if b != nil {
			stopping.Go(func() { faults[i] = b.Stop() })
		}
	}
	stopping.Wait()
	return errors.Join(faults...)
}
