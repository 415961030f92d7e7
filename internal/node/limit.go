package node

import (
	"context"
	"fmt"
	"time"
)

// overtime is what a stop may take beyond shutdown_timeout. Connections and other
// nodes are given up well within that; what is left then is the disk.
const overtime = 5 * time.Second

// outlast returns what comes from ended, or an error when that does not come
// within limit from the moment at which ctx ends or halting is closed.
func outlast(ctx context.Context, halting <-chan struct{}, limit time.Duration, ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	case <-halting:
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		return fmt.Errorf("the stop was given up after %v (shutdown_timeout, and %v more), most likely since a disk does not answer: what was acknowledged is stored, and the next start makes good what was left undone", limit, overtime)
	}
}
