package main

import (
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newQueue) }

func newQueue() *cobra.Command {
	return group("queue", "List and discard stored queues that belong to no session", newQueueOrphans(), newQueueDiscard())
}

func newQueueOrphans() *cobra.Command {
	return adminCommand(&cobra.Command{
		Use:     "orphans",
		Short:   "List stored queues of which this node knows no session",
		Long:    "Such a queue is served when its session turns up, by replication for one, and follows it if that is at another node. One whose session has not turned up ten minutes after the start is dropped.",
		Example: `  tombolo queue orphans`,
		Args:    cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		var list admin.OrphanList
		if err := a.do("GET", "/api/v1/queues/orphaned", nil, nil, &list); err != nil {
			return err
		}
		if a.flags.json {
			return a.printJSON(list)
		}
		t := newTable("CLIENT", "MOUNTPOINT", "MESSAGES", "DROPPED AFTER")
		for _, o := range list.Orphans {
			t.add(o.ClientID, o.Mountpoint, strconv.Itoa(o.Messages), o.DroppedAt.UTC().Format(time.RFC3339))
		}
		return t.print(a.out)
	})
}

func newQueueDiscard() *cobra.Command {
	var clientID, mountpoint string
	c := adminCommand(&cobra.Command{
		Use:     "discard --client-id ID",
		Short:   "Drop such a queue, with its messages, at once",
		Example: `  tombolo queue discard --client-id plc-7`,
		Args:    cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		if clientID == "" {
			return fail(exitUsage, errors.New("say which: tombolo queue discard --client-id plc-7"))
		}
		return a.change("DELETE", "/api/v1/queues/orphaned", url.Values{"client_id": {clientID}, "mountpoint": {mountpoint}})
	})
	c.Flags().StringVarP(&clientID, "client-id", "i", "", "the client id of the queue")
	c.Flags().StringVarP(&mountpoint, "mountpoint", "m", "", "of this mountpoint")
	return c
}
