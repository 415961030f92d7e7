package main

import (
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newRetain) }

func newRetain() *cobra.Command {
	return group("retain", "List and delete retained messages", newRetainShow(), newRetainDelete())
}

func newRetainShow() *cobra.Command {
	var topic, mountpoint string
	var limit int
	c := adminCommand(&cobra.Command{
		Use:   "show",
		Short: "List retained messages",
		Example: `  tombolo retain show
  tombolo retain show --topic 'plant/+/state' --limit 1000
  tombolo retain show --topic plant/7/state --json`,
		Args: cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		q := url.Values{"filter": {topic}, "mountpoint": {mountpoint}, "limit": {strconv.Itoa(limit)}}
		var list admin.RetainedList
		if err := a.do("GET", "/api/v1/retained", q, nil, &list); err != nil {
			return err
		}
		if a.flags.json {
			return a.printJSON(list)
		}
		t := newTable("TOPIC", "QOS", "EXPIRES", "PAYLOAD")
		for _, m := range list.Retained {
			expires := "-"
			if !m.ExpiresAt.IsZero() {
				expires = m.ExpiresAt.UTC().Format(time.RFC3339)
			}
			t.add(m.Topic, strconv.Itoa(m.QoS), expires, string(m.Payload))
		}
		if err := t.print(a.out); err != nil {
			return err
		}
		truncationNote(a.errs, list.Truncated, limit)
		return nil
	})
	c.Flags().StringVarP(&topic, "topic", "t", "", "only topics that match this filter")
	c.Flags().StringVarP(&mountpoint, "mountpoint", "m", "", "of this mountpoint")
	c.Flags().IntVar(&limit, "limit", 100, "list at most this many")
	return c
}

func newRetainDelete() *cobra.Command {
	var topic, mountpoint string
	c := adminCommand(&cobra.Command{
		Use:     "delete --topic TOPIC",
		Short:   "Delete a retained message",
		Example: `  tombolo retain delete --topic plant/7/state`,
		Args:    cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		if topic == "" {
			return fail(exitUsage, errors.New("say which: tombolo retain delete --topic plant/7/state"))
		}
		return a.change("DELETE", "/api/v1/retained", url.Values{"topic": {topic}, "mountpoint": {mountpoint}})
	})
	c.Flags().StringVarP(&topic, "topic", "t", "", "the topic, without wildcards")
	c.Flags().StringVarP(&mountpoint, "mountpoint", "m", "", "of this mountpoint")
	return c
}
