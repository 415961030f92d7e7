package node

import (
	"crypto/rand"
	"path/filepath"
	"strings"
	"time"

	"tombolo/internal/admin"
	"tombolo/internal/cluster"
	"tombolo/internal/log"
	"tombolo/internal/metric"
	"tombolo/internal/option"
	"tombolo/mqtt/broker"
)

// refusalEvery is how often one reason for refusing connections is logged.
const refusalEvery = 10 * time.Second

// build makes the broker and what stands around it.
func (n *Node) build() error {
	n.security = newSecurity(n)
	if err := n.security.open(); err != nil {
		return err
	}
	config := broker.Config{
		Node: n.set.String("nodename"), NodeID: n.id, Settings: brokerSettings(n.set),
		Metadata: n.metadata, Queue: n.queue, Gate: &n.gate,
		Authenticator: n.security.all, Authorizer: n.security.all,
		Metrics: n.metrics, Log: limitRefusals(n.log.For("mqtt")), Now: n.steady.Now,
		Random: func(b []byte) { _, _ = rand.Read(b) }, // never fails since Go 1.24
	}
	if n.cluster != nil {
		config.Cluster = n.cluster
	}
	n.broker = broker.New(config)
	if n.cluster != nil {
		if err := n.cluster.Open(cluster.Parts{Metadata: n.metadata, Queue: n.queue, Broker: n.broker}, nil); err != nil {
			return err
		}
	}
	if n.cluster != nil {
		n.leaving = newLeaving(n)
	}
	n.ports = &ports{n: n, refusals: log.NewLimiter(refusalEvery, 64, time.Now)}
	n.admin = admin.New(n.adminConfig())
	n.set.OnAnyChange(func(key, _, _ string) { n.changed(key) })
	return nil
}

// changed applies an option that was set at run time.
func (n *Node) changed(key string) {
	if sub, ok := strings.CutPrefix(key, "log.level."); ok || key == "log.console.level" {
		if level, err := log.ParseLevel(n.set.String(key)); err == nil {
			_ = n.log.SetLevel(sub, max(level, floorLevel(n.set))) // "" is the common level
		}
	}
	n.setClock()
	n.broker.Change(brokerSettings(n.set))
	if n.cluster != nil {
		n.cluster.Tune(tunables(n.set))
	}
	n.security.changed()
	n.logger.Info("option changed", "key", key, "value", n.set.Masked(key))
}

func (n *Node) adminConfig() admin.Config {
	view := &view{n}
	config := admin.Config{
		Version: n.cfg.Version, Health: view, Options: view, Levels: view, Sessions: view,
		Retained: view, Subscriptions: view, Listeners: view, Status: view.status, Stores: view,
		Metrics: n.metrics, Log: n.log.For("admin"),
		Exposition: metric.Exposition{
			Namespace: n.set.String("prometheus_namespace"), Node: n.set.String("nodename"),
			Verne: true, VerneNamespace: metric.VerneNamespace,
		},
	}
	if n.cluster != nil {
		config.Cluster = clusterView{n, n.cluster}
	}
	return config
}

// socketPath is where the admin socket is.
func (n *Node) socketPath() string { return SocketPath(n.set) }

// SocketPath is where the admin socket of a node with these settings is.
func SocketPath(set *option.Settings) string {
	if set.IsSet("admin.socket") {
		return set.String("admin.socket")
	}
	return filepath.Join(set.String("data_dir"), socketNam)
}
