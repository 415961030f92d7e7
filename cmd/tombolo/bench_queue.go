package main

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tombolo/bench"
	"tombolo/bench/queues"
	"tombolo/internal/kv"
)

func newBenchQueue() *cobra.Command {
	cfg := queues.Config{Scale: 1, Duration: time.Minute, Bare: bareDatabase}
	var out benchOutput
	cmd := &cobra.Command{
		Use:   "queue [ROW ...]",
		Short: "What stored messages cost, beside what is asked of them",
		Long: `What stored messages cost, beside what is asked of them. Each row starts the brokers
that it measures, with their data in a temporary directory:

  fsync    one persistent subscriber that keeps up with 64 publishers, against the
           bare database
  os       the same with durability = os, against mosquitto with persistence on
  offline  1,000,000 messages for 1,000 sessions that are away and then return
  migrate  a backlog of 100,000 messages that follows its client to another node
  disk     space after 20,000,000 messages, delivered and acknowledged
  boot     start with 10,000,000 stored messages, until a client has one of its own

--scale multiplies the numbers of messages, --duration is that of a steady load. At
full size all rows take about a quarter of an hour and 5 GB of disk.`,
		Example: `  tombolo bench queue
  tombolo bench queue --scale 0.01 --duration 3s
  tombolo bench queue boot disk --scale 0.5`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Rows = args
			return runQueues(cmd, cfg, &out)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.Float64Var(&cfg.Scale, "scale", cfg.Scale, "of the numbers of messages")
	fl.DurationVar(&cfg.Duration, "duration", cfg.Duration, "length of a steady load")
	out.plainFlags(fl)
	return cmd
}

func runQueues(cmd *cobra.Command, cfg queues.Config, out *benchOutput) error {
	ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	program, err := os.Executable()
	if err != nil {
		return fail(exitEnvironment, err)
	}
	cfg.Program, cfg.Version = program, "tombolo "+version
	view := out.view(cmd.ErrOrStderr(), "")
	cfg.Tick = func(name string, p bench.Progress) {
		p.Phase = name + ", " + p.Phase
		view.show(p)
	}
	r, err := queues.Run(ctx, cfg)
	view.clear()
	if r == nil {
		return fail(exitUsage, err)
	}
	stamp(&r.Machine)
	err = errors.Join(err, out.print(cmd.OutOrStdout(), r, func(w io.Writer) error { return queues.Write(w, r) }, nil))
	if err != nil {
		return explainBench(ctx, err)
	}
	var faults []string
	for i := range r.Rows {
		if r.Rows[i].Fault != "" {
			faults = append(faults, r.Rows[i].Name)
		}
	}
	if faults != nil {
		return fail(exitFailure, errors.New("rows with faults: "+strings.Join(faults, ", ")))
	}
	return nil
}

// bareDatabase is what stored messages are held against: 256 goroutines that each
// write one record after the other, each one synced.
func bareDatabase(size int, d time.Duration) (float64, error) {
	dir, err := os.MkdirTemp("", "tombolo-bench-bare-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	db, _, err := kv.OpenLevel(dir, kv.Options{Sync: kv.SyncAlways, NoCompression: true})
	if err != nil {
		return 0, err
	}
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for range 256 {
		wg.Go(func() {
			var b kv.Batch
			value := make([]byte, size)
			for time.Since(began) < d && failed.Load() == nil {
				b.Reset()
				b.Put(binary.BigEndian.AppendUint64(nil, uint64(n.Add(1))*0x9e3779b97f4a7c15), value)
				if err := db.Write(&b, true); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	rate := float64(n.Load()) / time.Since(began).Seconds()
	if e := failed.Load(); e != nil {
		err = *e
	}
	return rate, errors.Join(err, db.Close())
}
