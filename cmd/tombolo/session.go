package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tombolo/internal/admin"
)

func init() { register(newSession) }

func newSession() *cobra.Command {
	return group("session", "List and end sessions", newSessionShow(), newSessionDisconnect())
}

// fieldShown is what a field flag holds that was given without a value: show
// the column. It is no value that a field can be compared with, since no
// MQTT string holds a zero.
const fieldShown = "\x00"

// fieldFlags collects the field flags in the order in which they were given.
// Owned by the one command.
type fieldFlags struct {
	columns []string
	filters url.Values
}

// fieldFlag is the flag of one field. It writes into fieldFlags.
type fieldFlag struct {
	name string
	all  *fieldFlags
}

func (f *fieldFlag) String() string { return "" }
func (f *fieldFlag) Type() string   { return "value" }

func (f *fieldFlag) Set(v string) error {
	if v == fieldShown {
		f.all.columns = append(f.all.columns, f.name)
	} else {
		f.all.filters.Add(f.name, v)
	}
	return nil
}

func newSessionShow() *cobra.Command {
	var limit int
	fields := &fieldFlags{filters: url.Values{}}
	c := adminCommand(&cobra.Command{
		Use:   "show [--FIELD | --FIELD=VALUE | --FIELD=~REGEXP]...",
		Short: "List sessions",
		Long: `Show lists the sessions of all nodes. --FIELD shows a column, --FIELD=VALUE lists only
the sessions with that value, --FIELD=~REGEXP those that match; several filters
must all hold. With a field of a subscription (topic, qos, no_local, rap) there
is one row for each subscription.

Fields: ` + strings.Join(admin.SessionFields(), ", ") + `.`,
		Example: `  tombolo session show
  tombolo session show --client_id --user --is_online=true
  tombolo session show --client_id=~^sensor- --queue_size --limit 1000
  tombolo session show --client_id=lamp --mountpoint= --topic --qos --json`,
		Args: cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		q := url.Values{"limit": {strconv.Itoa(limit)}}
		if len(fields.columns) > 0 {
			q.Set("fields", strings.Join(fields.columns, ","))
		}
		for name, values := range fields.filters {
			q[name] = values
		}
		list, err := sessionsEverywhere(a, q, limit)
		if err != nil {
			return err
		}
		return printSessions(a, list, limit)
	})
	for _, name := range admin.SessionFields() {
		flag := c.Flags().VarPF(&fieldFlag{name, fields}, name, "", "show or filter by "+name)
		flag.NoOptDefVal = fieldShown
		flag.Hidden = true // listed in one line of the text above
	}
	c.Flags().IntVar(&limit, "limit", 100, "list at most this many")
	return c
}

// sessionsEverywhere puts together what all members list.
func sessionsEverywhere(a *asker, q url.Values, limit int) (admin.SessionList, error) {
	out := admin.SessionList{Sessions: []map[string]any{}}
	answers, err := a.everywhere("GET", "/api/v1/sessions", q)
	for _, n := range answers {
		var list admin.SessionList
		if err := json.Unmarshal(n.Answer, &list); err != nil {
			return out, fmt.Errorf("node %s gave an answer that is not understood: %w", n.Node, err)
		}
		out.Fields = list.Fields
		out.Sessions = append(out.Sessions, list.Sessions...)
		out.Truncated = out.Truncated || list.Truncated
	}
	if len(out.Sessions) > limit {
		out.Sessions, out.Truncated = out.Sessions[:limit], true
	}
	return out, err
}

func printSessions(a *asker, list admin.SessionList, limit int) error {
	if a.flags.json {
		return a.printJSON(list)
	}
	headings := make([]string, len(list.Fields))
	for i, f := range list.Fields {
		headings[i] = strings.ToUpper(f)
	}
	t := newTable(headings...)
	for _, s := range list.Sessions {
		cells := make([]string, len(list.Fields))
		for i, f := range list.Fields {
			cells[i] = cell(s[f])
		}
		t.add(cells...)
	}
	if err := t.print(a.out); err != nil {
		return err
	}
	truncationNote(a.errs, list.Truncated, limit)
	return nil
}

// keyed reads the one argument "key=value" of a command.
func keyed(args []string, key, example string) (string, error) {
	if len(args) == 1 {
		if v, ok := strings.CutPrefix(args[0], key+"="); ok && v != "" {
			return v, nil
		}
	}
	return "", fail(exitUsage, fmt.Errorf("the command takes %s=…; an example: %s", key, example))
}

func newSessionDisconnect() *cobra.Command {
	var mountpoint string
	var cleanup bool
	c := adminCommand(&cobra.Command{
		Use:   "disconnect client-id=ID",
		Short: "End the connection of a client",
		Long: `Disconnect closes the client's connection; an MQTT 5 client is told 0x98
(administrative action). Its session stays for its return, unless --cleanup
discards it with its subscriptions and queued messages.`,
		Example: `  tombolo session disconnect client-id=sensor-17
  tombolo session disconnect client-id=sensor-17 --cleanup`,
	}, func(a *asker, args []string) error {
		id, err := keyed(args, "client-id", "tombolo session disconnect client-id=sensor-17")
		if err != nil {
			return err
		}
		q := url.Values{"client_id": {id}, "mountpoint": {mountpoint}, "cleanup": {strconv.FormatBool(cleanup)}}
		if _, err := a.everywhere("DELETE", "/api/v1/sessions", q); err != nil {
			return err
		}
		return a.said()
	})
	c.Flags().StringVarP(&mountpoint, "mountpoint", "m", "", "the session's mountpoint")
	c.Flags().BoolVarP(&cleanup, "cleanup", "c", false, "discard the session as well")
	return c
}

var _ pflag.Value = (*fieldFlag)(nil)
