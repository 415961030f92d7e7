package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
	"tombolo/internal/handover"
	"tombolo/internal/kv"
)

// handoverPart is how long one part of a queue may take.
const handoverPart = 15 * time.Second

// handoverFlags are the flags of queue hand-over. Owned by the one run of it.
type handoverFlags struct {
	dataDir string
	list    bool
	discard bool
}

// handedQueue is what became of one queue, or what is there. A value.
type handedQueue struct {
	ClientID   string `json:"client_id"`
	Mountpoint string `json:"mountpoint"`
	Messages   int    `json:"messages"` // that were there
	Spooled    int    `json:"spooled"`  // of these, in the spool
	Passed     int    `json:"passed"`
	Expired    int    `json:"expired"`
	State      string `json:"state"` // held, handed over, session ended, discarded, failed
	Error      string `json:"error,omitempty"`
}

func newQueueHandOver() *cobra.Command {
	f := &apiFlags{timeout: 365 * 24 * time.Hour} // each part has a limit of its own
	h := &handoverFlags{}
	c := &cobra.Command{
		Use:   "hand-over --data-dir DIR",
		Short: "Give the members the queues of a node that was removed",
		Long: `A node that was removed from its cluster because it was dead may hold messages
that its members do not have. Hand-over reads them out of its data directory, or
out of a copy of it, while the node is stopped, and gives them to the member that is
asked. Each queue goes to the present home of its session, in front of what waits
there, in the order it had and marked DUP, since the client may have seen a part.
Messages that have expired are left out. What the node had in its spool, for members
that it could not reach, goes with the queues of the sessions that it is for.

What has been handed over is deleted from the directory. The command may be broken
off and run again: what the home has it does not take twice. A queue whose session
has ended, or begun anew with a clean start, is listed and stays where it is until
--discard drops it, and so do messages in the spool for sessions that had ended before. While the node is a member it is refused: start the node then,
and its queues follow by themselves.`,
		Example: `  tombolo queue hand-over --data-dir /backup/node3 --list
  tombolo queue hand-over --data-dir /backup/node3
  tombolo queue hand-over --data-dir /var/lib/tombolo --api http://10.0.0.1:8888
  tombolo queue hand-over --data-dir /backup/node3 --discard`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.ask(c, h.run) },
	}
	f.bindWhere(c)
	c.Flags().StringVar(&h.dataDir, "data-dir", "", "the data directory (data_dir) of the node that was removed; it is stopped")
	c.Flags().BoolVar(&h.list, "list", false, "only list what it holds")
	c.Flags().BoolVar(&h.discard, "discard", false, "drop what is for sessions that have ended")
	_ = c.MarkFlagDirname("data-dir")
	c.MarkFlagsMutuallyExclusive("list", "discard")
	return c
}

func (h *handoverFlags) run(a *asker) (err error) {
	if h.dataDir == "" {
		return fail(exitUsage, errors.New("say which: tombolo queue hand-over --data-dir /backup/node3"))
	}
	held, err := handover.Open(h.dataDir)
	switch {
	case errors.Is(err, kv.ErrLocked):
		return fail(exitEnvironment, fmt.Errorf("%w; stop the node first", err))
	case err != nil:
		return fail(exitEnvironment, err)
	}
	defer func() {
		if closed := held.Close(); err == nil && closed != nil {
			err = fail(exitFailure, closed)
		}
	}()
	if !h.list {
		if err := mayHandOver(a, held.Node()); err != nil {
			return err
		}
		if err := held.Sort(a.ctx); err != nil {
			return fail(exitFailure, err)
		}
	}
	list, nobody, err := held.Queues()
	if err != nil {
		return fail(exitFailure, err)
	}
	out := make([]handedQueue, 0, len(list))
	var failed error
	for _, q := range list {
		one, err := h.one(a, held, q)
		out = append(out, one)
		if failed = errors.Join(failed, err); a.ctx.Err() != nil || unanswered(err) {
			break
		}
	}
	if h.discard && failed == nil && nobody > 0 {
		failed = held.DiscardSpooled()
	}
	if err := h.tell(a, out, nobody); err != nil || failed == nil {
		return err
	}
	return failed
}

// mayHandOver says why not as long as the node is a member, before anything in its
// directory is changed.
func mayHandOver(a *asker, node string) error {
	ctx, cancel := context.WithTimeout(a.ctx, handoverPart)
	defer cancel()
	return a.client.Do(ctx, http.MethodPost, admin.PathHanded, nil, admin.HandedQueue{Node: node}, nil)
}

// unanswered says that the member that is asked is the trouble, so that the next
// queue would fare no better.
func unanswered(err error) bool {
	var answer *admin.Error
	return err != nil && (!errors.As(err, &answer) || answer.Status == http.StatusConflict)
}

// one hands over a queue.
func (h *handoverFlags) one(a *asker, held *handover.Holding, q handover.Queue) (handedQueue, error) {
	out := handedQueue{ClientID: q.ClientID, Mountpoint: q.Mountpoint, Messages: q.Messages + q.Spooled, Spooled: q.Spooled, State: "held"}
	if h.list {
		return out, nil
	}
	got, err := held.Pass(a.ctx, q, func(ctx context.Context, part []byte) error {
		ctx, cancel := context.WithTimeout(ctx, handoverPart)
		defer cancel()
		return a.client.Do(ctx, http.MethodPost, admin.PathHanded, nil, admin.HandedQueue{Node: held.Node(), Part: part}, nil)
	})
	out.Passed, out.Expired, out.State = got.Passed, got.Expired, "handed over"
	var answer *admin.Error
	switch gone := errors.As(err, &answer) && answer.Status == http.StatusGone; {
	case gone && h.discard:
		out.State, err = "discarded", held.Discard(q)
	case gone:
		out.State, err = "session ended", nil
	}
	if err != nil {
		out.State, out.Error = "failed", err.Error()
	}
	return out, err
}

// tell prints what became of the queues.
func (h *handoverFlags) tell(a *asker, list []handedQueue, nobody int) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"queues": list, "spooled_for_nobody": nobody})
	}
	switch {
	case nobody > 0 && h.discard:
		fmt.Fprintf(a.errs, "%d messages in its spool were for sessions that had ended: they are dropped\n", nobody)
	case nobody > 0:
		fmt.Fprintf(a.errs, "%d messages in its spool are for sessions that had ended: they stay there, and --discard drops them\n", nobody)
	}
	t := newTable("CLIENT", "MOUNTPOINT", "MESSAGES", "HANDED OVER", "EXPIRED", "STATE")
	passed, ended := 0, 0
	for _, q := range list {
		t.add(q.ClientID, q.Mountpoint, fmt.Sprint(q.Messages), fmt.Sprint(q.Passed), fmt.Sprint(q.Expired), q.State)
		passed += q.Passed
		if q.State == "session ended" {
			ended++
		}
	}
	if err := t.print(a.out); err != nil || h.list {
		return err
	}
	text := fmt.Sprintf("%d messages were handed over", passed)
	if ended > 0 {
		text += fmt.Sprintf("; the sessions of %d queues have ended: they are still there, and --discard drops them", ended)
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}
