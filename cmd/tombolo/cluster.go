package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newCluster) }

func newCluster() *cobra.Command {
	return group("cluster", "Look at the cluster, join and leave it", newClusterShow(), newClusterJoin(), newClusterLeave(), newClusterRemove())
}

func newClusterShow() *cobra.Command {
	var local bool
	c := adminCommand(&cobra.Command{
		Use:   "show",
		Short: "Show members, links and what every node sees of a netsplit",
		Long: `Show asks the node, and through it every other member that can be reached, what
it sees: who reaches whom, since when, and what is admitted there. Members that
do not answer are listed with the reason.`,
		Example: `  tombolo cluster show
  tombolo cluster show --local --json`,
		Args: cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		if local {
			return showLocal(a)
		}
		var list admin.NodeAnswers
		if err := a.do("GET", "/api/v1/cluster", url.Values{"on": {"all"}}, nil, &list); err != nil {
			return err
		}
		if a.flags.json {
			return a.printJSON(list)
		}
		return printCluster(a, list.Nodes)
	})
	c.Flags().BoolVar(&local, "local", false, "only what the node itself sees")
	return c
}

func showLocal(a *asker) error {
	var raw json.RawMessage
	if err := a.do("GET", "/api/v1/cluster", nil, nil, &raw); err != nil {
		return err
	}
	if a.flags.json {
		return a.printJSON(raw)
	}
	return printCluster(a, []admin.NodeAnswer{{Status: 200, Answer: raw}})
}

// whyNot is what a node says in place of its view: that it is by itself, for one.
func whyNot(n *admin.NodeAnswer) string {
	var said struct {
		Error string `json:"error"`
		Hint  string `json:"hint"`
	}
	if n.Error != "" || json.Unmarshal(n.Answer, &said) != nil || said.Error == "" {
		return cmp.Or(n.Error, fmt.Sprintf("it answers with status %d", n.Status))
	}
	return strings.TrimSuffix(said.Error+"; "+said.Hint, "; ")
}

// printCluster prints one view: what all agree on, then what each sees.
func printCluster(a *asker, answers []admin.NodeAnswer) error {
	views := make([]*admin.ClusterView, len(answers))
	for i, n := range answers {
		if n.Error == "" && n.Status/100 == 2 {
			v := &admin.ClusterView{}
			if err := json.Unmarshal(n.Answer, v); err != nil {
				return fmt.Errorf("node %s gave an answer that is not understood: %w", n.Node, err)
			}
			views[i] = v
		}
	}
	first := views[0]
	if first == nil {
		return fmt.Errorf("this node does not tell what it sees: %s", whyNot(&answers[0]))
	}
	if err := printMembers(a, first); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	t := newTable("SEEN BY", "STATE", "SINCE", "REACHES", "NOT", "MAJORITY", "ADMITS")
	for i, n := range answers {
		v := views[i]
		if v == nil {
			t.add(n.Node, "does not answer", "", n.Error)
			continue
		}
		slices.Sort(v.Reaches)
		t.add(v.Node, stateWord(v), ago(v.Since), strings.Join(v.Reaches, " "), missingOf(v), majorityOf(v), admits(v))
	}
	return t.print(a.out)
}

func printMembers(a *asker, v *admin.ClusterView) error {
	fmt.Fprintf(a.out, "Cluster %s, member set version %d, asked node %s\n", v.Cluster, v.Version, v.Node)
	if v.Waits != "" {
		fmt.Fprintln(a.out, "Waits:", v.Waits)
	}
	fmt.Fprintln(a.out)
	t := newTable("MEMBER", "STATE", "ID", "LINK", "GOSSIP", "CONNECTED", "WAITING", "REMARK")
	slices.SortFunc(v.Members, func(a, b admin.ClusterMember) int { return cmp.Compare(a.Name, b.Name) })
	for _, m := range v.Members {
		linked, since := "-", ""
		if m.Name != v.Node {
			linked, since = "no", ago(m.LinkedSince)
			if m.Linked {
				linked = "yes"
			}
		}
		remark := m.LastError
		if m.Slow {
			remark = "slow"
		}
		if m.Segment != 0 && remark == "" {
			remark = fmt.Sprintf("segments of %d bytes (MTU?)", m.Segment)
		}
		t.add(m.Name, m.State, m.ID, m.Link, m.Gossip, strings.TrimSpace(linked+" "+since), fmt.Sprint(m.Spooled), remark)
	}
	return t.print(a.out)
}

func stateWord(v *admin.ClusterView) string {
	switch {
	case v.Standing != "joined" && v.Standing != "alone":
		return v.Standing
	case !v.Opened:
		return "starting"
	case v.Unproven:
		return "stalled"
	case v.Split:
		return "NETSPLIT"
	}
	return "whole"
}

func missingOf(v *admin.ClusterView) string {
	var out []string
	for _, p := range v.Missing {
		slices.Sort(p[:])
		out = append(out, p[0]+"-"+p[1])
	}
	slices.Sort(out)
	return cmp.Or(strings.Join(out, " "), "-")
}

func admits(v *admin.ClusterView) string {
	g := v.Gate
	if g.Register && g.Publish && g.Subscribe && g.Unsubscribe {
		return "everything"
	}
	var out []string
	for _, x := range []struct {
		name string
		open bool
	}{{"register", g.Register}, {"publish", g.Publish}, {"subscribe", g.Subscribe}, {"unsubscribe", g.Unsubscribe}} {
		if x.open {
			out = append(out, x.name)
		}
	}
	return cmp.Or(strings.Join(out, " "), "nothing")
}

// majorityOf tells on which side of a split a node is; without one there are no
// sides.
func majorityOf(v *admin.ClusterView) string {
	if !v.Split {
		return "-"
	}
	return yesNo(v.Majority)
}

// ago is how long since t, in whole seconds.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return time.Since(t).Round(time.Second).String()
}

func newClusterJoin() *cobra.Command {
	return adminCommand(&cobra.Command{
		Use:   "join ADDRESS...",
		Short: "Make this node a member of the cluster of another",
		Long: `Join makes the node a member of the cluster that an address belongs to: the
gossip address of any member (host, or host:port). It returns when a majority of
the members has confirmed it. A node that has data of its own is refused: move
its data directory away first.`,
		Example: `  tombolo cluster join 10.0.0.1
  tombolo cluster join 10.0.0.1:44054 10.0.0.2:44054`,
		Args: cobra.MinimumNArgs(1),
	}, func(a *asker, seeds []string) error {
		if err := a.do("POST", "/api/v1/cluster/join", nil, admin.ClusterSeeds{Seeds: seeds}, nil); err != nil {
			return err
		}
		return showLocal(a)
	})
}

func newClusterRemove() *cobra.Command {
	var yes, force bool
	c := adminCommand(&cobra.Command{
		Use:   "remove NAME",
		Short: "Take a member that will not come back out of the cluster",
		Long: `Remove takes a member, by name or id, out of the member set for good. A majority
of the members has to confirm it; --force does without, and says what may diverge.
Without --yes it only says what would be given up.`,
		Example: `  tombolo cluster remove node3
  tombolo cluster remove node3 --yes`,
		Args: cobra.ExactArgs(1),
	}, func(a *asker, args []string) error {
		if !yes {
			return sayRemoval(a, args[0], force, "remove")
		}
		q := url.Values{}
		if force {
			q.Set("force", "true")
		}
		return a.change("DELETE", "/api/v1/cluster/members/"+url.PathEscape(args[0]), q)
	})
	c.Flags().BoolVar(&yes, "yes", false, "do it")
	c.Flags().BoolVar(&force, "force", false, "without a majority")
	return c
}

// sayRemoval prints what a removal gives up, and does nothing.
func sayRemoval(a *asker, node string, force bool, what string) error {
	q := url.Values{}
	if force {
		q.Set("force", "true")
	}
	var r admin.ClusterRemoval
	if err := a.do("GET", "/api/v1/cluster/members/"+url.PathEscape(node)+"/removal", q, nil, &r); err != nil {
		return err
	}
	fmt.Fprintln(a.out, r.GivesUp)
	return fail(exitFailure, fmt.Errorf("nothing was changed; add --yes to %s", what))
}
