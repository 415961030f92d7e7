package broker

import (
	"testing"

	"tombolo/internal/wire"
	"tombolo/mqtt/topic"
)

// auditNow runs one audit to its end.
func (n *rigNode) auditNow() {
	told := make(chan struct{})
	n.b.audit.now <- told
	<-told
}

// TestR5AuditFindsAndMends plants a fault of each kind by hand in the routes of a
// node: each is found, counted once, and mended; a second audit finds nothing.
func TestR5AuditFindsAndMends(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	b.dial(t, "lasts", lasting).subscribe(1, "kept/#", "$share/g/work")
	b.dial(t, "bound").subscribe(1, "soft/+")
	matches := func(name string) bool {
		res := a.b.mount("").index.Match([]byte(name))
		return len(res.Direct)+len(res.Shared) > 0
	}
	durable := func() bool {
		a.b.remotes.mu.Lock()
		defer a.b.remotes.mu.Unlock()
		s := a.b.remotes.mu.away[Key{ClientID: "lasts"}]
		return s != nil && len(s.filters) == 2
	}
	eventually(t, "all routes are at the other node", func() bool { return matches("kept/a") && matches("work") && matches("soft/a") && durable() })
	const differences = "cluster_route_audit_differences_total"
	a.auditNow()
	if n := a.counter(differences); n != 0 {
		t.Fatalf("%d differences without a fault", n)
	}
	plant := func(what string, fault func(n *otherNode)) {
		t.Helper()
		before := a.counter(differences)
		a.b.remotes.mu.Lock()
		fault(a.b.nodeLocked(b.id))
		a.b.remotes.mu.Unlock()
		a.auditNow()
		if n := a.counter(differences) - before; n != 1 {
			t.Errorf("%s: %d differences counted, want 1", what, n)
		}
		a.auditNow()
		if n := a.counter(differences) - before; n != 1 {
			t.Errorf("%s: found again after it was mended", what)
		}
		if !matches("kept/a") || !matches("work") || !matches("soft/a") || matches("nobody") || !durable() {
			t.Errorf("%s is not mended", what)
		}
	}
	plant("an entry of the index that is gone", func(n *otherNode) {
		n.mounts[""][0].mount.index.Unsubscribe("soft/+", n.mounts[""][0])
	})
	plant("a durable entry of a group that is gone", func(n *otherNode) {
		n.mounts[""][1].mount.index.UnsubscribeShared("g", "work", n.mounts[""][1])
	})
	plant("an entry of the index that nobody wants", func(n *otherNode) {
		n.mounts[""][0].mount.index.Subscribe("nobody", n.mounts[""][0], topic.Options{QoS: 2})
	})
	plant("a filter of a session that is forgotten", func(*otherNode) {
		s := a.b.remotes.mu.away[Key{ClientID: "lasts"}]
		a.b.wantLocked(s, "", "kept/#", false)
	})
	plant("a session that is forgotten", func(*otherNode) {
		s := a.b.remotes.mu.away[Key{ClientID: "lasts"}]
		a.b.wantLocked(s, "", "kept/#", false)
		a.b.wantLocked(s, "", "$share/g/work", false)
		delete(a.b.remotes.mu.away, Key{ClientID: "lasts"})
	})
}

// TestR5AuditOfAnnouncements: a node knows its peer's routes by the peer's own
// digest, and one route more, less or of another kind is noticed.
func TestR5AuditOfAnnouncements(t *testing.T) {
	b := rig(t, 2).nodes[0].b
	list := []wire.Route{{Filter: "a", Members: 1}, {Filter: "b", Members: 9, Flags: wire.RoutePersistent}, {Filter: "b", Group: "g", Members: 2}}
	b.TakeRoutes(2, &wire.Routes{Snapshot: true, First: true, Last: true, List: list})
	digest := func(list []wire.Route) (d RouteDigest) {
		for _, r := range list {
			d.add(&routeKey{r.Mountpoint, r.Group, topic.Filter(r.Filter), r.Flags&wire.RoutePersistent != 0})
		}
		return d
	}
	if !b.CheckRoutes(2, digest(list)) {
		t.Error("the same routes are said to differ")
	}
	other := []wire.Route{list[0], {Filter: "b", Members: 9}, list[2]}
	for what, l := range map[string][]wire.Route{"one less": list[:2], "another kind": other, "none": nil} {
		if b.CheckRoutes(2, digest(l)) {
			t.Errorf("%s is not noticed", what)
		}
	}
	b.TakeRoutes(2, &wire.Routes{Snapshot: true, First: true})
	if !b.CheckRoutes(2, digest(nil)) {
		t.Error("routes are compared while their snapshot comes in")
	}
}
