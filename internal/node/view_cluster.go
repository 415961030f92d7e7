package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tombolo/internal/admin"
	"tombolo/internal/cluster"
	"tombolo/internal/wire"
	"tombolo/netsplit"
)

// clusterView is the cluster as the administration server sees it. Immutable.
type clusterView struct {
	n *Node
	c *cluster.Cluster
}

// View implements admin.Cluster.
func (v clusterView) View() admin.ClusterView {
	s := v.c.Status()
	g := v.n.gate.Now()
	out := admin.ClusterView{
		Cluster: v.n.set.String("cluster.name"), Node: v.n.set.String("nodename"), ID: fmt.Sprintf("%016x", v.n.id),
		Standing: s.Standing, Waits: s.Waits, Version: s.Version,
		Split: s.Verdict.Split, Since: unixTime(s.Verdict.Since), Majority: s.Verdict.Majority, Unproven: s.Verdict.Unproven, Opened: s.Opened,
		Missing: [][2]string{}, Primary: v.split(s.Verdict.Primary), Reaches: v.names(s.Reachable), Cut: v.names(s.Cut),
		Gate: admin.ClusterGate{Register: g.Allows(netsplit.Register), Publish: g.Allows(netsplit.Publish),
			Subscribe: g.Allows(netsplit.Subscribe), Unsubscribe: g.Allows(netsplit.Unsubscribe)},
		Members: []admin.ClusterMember{}, Connections: int(v.n.ports.active()),
	}
	for _, p := range s.Verdict.Missing {
		out.Missing = append(out.Missing, [2]string{v.c.Name(wire.NodeID(p[0])), v.c.Name(wire.NodeID(p[1]))})
	}
	for i := range s.Members {
		out.Members = append(out.Members, v.member(&s, &s.Members[i]))
	}
	slices.SortFunc(out.Members, func(a, b admin.ClusterMember) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (v clusterView) member(s *cluster.Status, m *wire.Member) admin.ClusterMember {
	out := admin.ClusterMember{
		Name: m.Name, ID: fmt.Sprintf("%016x", uint64(m.ID)), State: [...]string{"joined", "absent", "stopped", "leaving"}[m.State],
		StateSince: unixTime(m.Since), Link: m.Link, Gossip: m.Gossip, Reachable: slices.Contains(s.Reachable, m.ID),
	}
	for i := range s.Links {
		if l := &s.Links[i]; l.ID == m.ID {
			out.Linked, out.LinkedSince, out.LastError, out.Spooled, out.Slow = l.Up, l.Since, l.LastError, l.Spooled, l.Starved
			out.Segment = l.Segment
		}
	}
	if out.Linked {
		out.LastError = ""
	}
	return out
}

func unixTime(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func (v clusterView) names(list []wire.NodeID) []string {
	out := []string{}
	for _, id := range list {
		out = append(out, v.c.Name(id))
	}
	slices.Sort(out)
	return out
}

func (v clusterView) split(list []netsplit.NodeID) []string {
	out := []string{}
	for _, id := range list {
		out = append(out, v.c.Name(wire.NodeID(id)))
	}
	slices.Sort(out)
	return out
}

// Names implements admin.Cluster.
func (v clusterView) Names() []string {
	out := []string{v.n.set.String("nodename")}
	for _, m := range v.c.Status().Members {
		if m.ID != wire.NodeID(v.n.id) {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out[1:])
	return out
}

// Ask implements admin.Cluster.
func (v clusterView) Ask(ctx context.Context, node, method, target string, body []byte) (int, []byte, error) {
	id, err := v.find(node)
	if err != nil {
		return 0, nil, err
	}
	status, answer, err := v.c.Ask(ctx, id, method, target, body)
	if err != nil {
		return 0, nil, fmt.Errorf("node %s cannot be asked: %w", node, err)
	}
	return status, answer, nil
}

func (v clusterView) find(node string) (wire.NodeID, error) {
	if id, ok := v.c.Find(node); ok {
		return id, nil
	}
	return 0, admin.NotFound("tombolo cluster show lists them", "the cluster has no member %q", node)
}

// changeLimit is how long a change of the member set may take: less than a
// command waits, so that it hears why nothing came of it.
const changeLimit = 8 * time.Second

// Join implements admin.Cluster.
func (v clusterView) Join(ctx context.Context, seeds []string) error {
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	return refused(v.c.Members().Join(ctx, withPort(seeds, v.n.set.Int("cluster.gossip_port"))))
}

// Remove implements admin.Cluster.
func (v clusterView) Remove(ctx context.Context, node string, force bool) error {
	if _, err := v.find(node); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	return refused(v.c.Members().Remove(ctx, node, force))
}

// GivesUp implements admin.Cluster.
func (v clusterView) GivesUp(node string, force bool) (string, error) {
	if _, err := v.find(node); err != nil {
		return "", err
	}
	return v.c.Members().GivesUp(node, force)
}

var errNoRehearsal = admin.Invalid("start it with cluster.rehearsal = on, as tombolo dev --nodes 3 does", "this node does not rehearse")

// Cut implements admin.Cluster.
func (v clusterView) Cut(nodes []string) error {
	if !v.n.set.Bool("cluster.rehearsal") {
		return errNoRehearsal
	}
	var ids []wire.NodeID
	for _, name := range nodes {
		id, err := v.find(name)
		if err != nil {
			return err
		}
		if id != wire.NodeID(v.n.id) {
			ids = append(ids, id)
		}
	}
	v.c.SetCut(ids)
	v.n.logger.Warn("a split is rehearsed", "cut_off_from", nodes)
	return nil
}

// refused gives an error of the member set to the operator as it is.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return admin.Conflict("tombolo cluster show tells how the members stand", "%v", err)
}
