package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestStopIsBounded: a stop that does not come to an end is given up when its time
// is over, whoever began it; one that does is waited for.
func TestStopIsBounded(t *testing.T) {
	const limit = 35 * time.Second
	failed := errors.New("the end of it")
	for _, c := range []struct {
		name   string
		signal bool          // ctx ends; else a part has failed, or the node has left
		takes  time.Duration // 0: for ever
		want   time.Duration
	}{
		{"a signal, and it hangs", true, 0, limit},
		{"a failed part, and it hangs", false, 0, limit},
		{"a signal, and it takes its time", true, 30 * time.Second, 30 * time.Second},
		{"a failed part, and it takes its time", false, 30 * time.Second, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				halting, ended := make(chan struct{}), make(chan error, 1)
				result := make(chan error, 1)
				go func() { result <- outlast(ctx, halting, limit, ended) }()
				<-time.After(time.Hour) // it is up
				began := time.Now()
				if c.signal {
					cancel()
				} else {
					close(halting)
				}
				if c.takes > 0 {
					time.AfterFunc(c.takes, func() { ended <- failed })
				}
				err := <-result
				cancel()
				if took := time.Since(began); took != c.want || errors.Is(err, failed) != (c.takes > 0) || err == nil {
					t.Errorf("%v after %v, want it after %v", err, took, c.want)
				}
			})
		})
	}
}
