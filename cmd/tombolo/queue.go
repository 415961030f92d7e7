package main

import (
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newQueue) }

func newQueue() *cobra.Command {
	return group("queue", "Stored queues that move, belong to no session, or are at a node that was removed", newQueueMoving(), newQueueOrphans(), newQueueDiscard(), newQueueHandOver())
}

func newQueueMoving() *cobra.Command {
	on := &onFlags{}
	c := adminCommand(&cobra.Command{
		Use:   "moving",
		Short: "Show how far queues are that follow their clients to other nodes",
		Long: `A queue is on its way from the node that was the home of its session to the one that
is. It is listed at the former, with the messages that the latter has taken and those
that are left. One that does not go on for half a minute is named in the log.`,
		Example: `  tombolo queue moving
  tombolo queue moving --all`,
		Args: cobra.NoArgs,
	}, func(a *asker, _ []string) error { return on.listMoving(a) })
	on.bind(c)
	return c
}

func (f *onFlags) listMoving(a *asker) error {
	const path = "/api/v1/queues/moving"
	var answers []admin.NodeAnswer
	if f.all {
		var err error
		if answers, err = a.everywhere("GET", path, nil); err != nil {
			return err
		}
	} else {
		var one admin.NodeAnswer
		if err := a.do("GET", path, f.query(), nil, &one.Answer); err != nil {
			return err
		}
		answers = []admin.NodeAnswer{one}
	}
	var list admin.MovingList
	for _, n := range answers {
		var part admin.MovingList
		if err := json.Unmarshal(n.Answer, &part); err != nil {
			return err
		}
		list.Moving = append(list.Moving, part.Moving...)
	}
	if a.flags.json {
		return a.printJSON(list)
	}
	t := newTable("CLIENT", "MOUNTPOINT", "TO", "SENT", "LEFT", "SINCE")
	for _, m := range list.Moving {
		t.add(m.ClientID, m.Mountpoint, m.To, strconv.FormatInt(m.Sent, 10), strconv.Itoa(m.Left), m.Since.UTC().Format(time.RFC3339))
	}
	return t.print(a.out)
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
