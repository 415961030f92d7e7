package option

import (
	"math"
	"slices"
	"time"
)

// The headings of the reference page, in its order.
const (
	sectionGeneral   = "General"
	sectionListeners = "Listeners"
	sectionTLS       = "TLS of listeners"
	sectionSessions  = "Sessions and MQTT limits"
	sectionQueues    = "Queues"
	sectionRetained  = "Retained messages, wills and shared subscriptions"
	sectionSecurity  = "Authentication and authorisation"
	sectionStorage   = "Storage"
	sectionTelemetry = "Metrics, health and $SYS"
	sectionLog       = "Logging"
	sectionNetsplit  = "Netsplit"
	sectionCluster   = "Cluster"
	sectionLater     = "Not built yet in this version"
	sectionIgnored   = "Accepted from vernemq.conf without effect"
)

// sections lists the headings with the sentence that stands under each.
var sections = []struct{ name, intro string }{
	{sectionGeneral, "The node itself."},
	{sectionListeners, "Where clients and tools connect."},
	{sectionTLS, "Settings of the listeners `ssl`, `wss` and `https`."},
	{sectionSessions, "What a client may do, and how much of it."},
	{sectionQueues, "What waits for a client, online or offline."},
	{sectionRetained, "Messages that do not come straight from a publisher."},
	{sectionSecurity, "Who may connect, publish and subscribe."},
	{sectionStorage, "What is on the disk and how safe it is there."},
	{sectionTelemetry, "What the broker tells about itself."},
	{sectionLog, "What is written where. Lines are one event each."},
	{sectionNetsplit, "What a node that cannot reach another member still does."},
	{sectionCluster, "How nodes find and trust each other."},
	{sectionLater, "Known keys whose feature is still to come; setting one gives a warning."},
	{sectionIgnored, "Known keys that mean nothing here; setting one gives a warning with the reason."},
}

const (
	pendingCluster = "takes effect once clustering is in this version"
	pendingFeature = "not built yet in this version"

	keyTradeConsistency = "trade_consistency"
)

// netsplitFlags are the options that trade_consistency sets.
var netsplitFlags = []string{
	"allow_publish_during_netsplit", "allow_register_during_netsplit",
	"allow_subscribe_during_netsplit", "allow_unsubscribe_during_netsplit",
}

// Shorthands of the declarations.
const (
	seconds = int64(time.Second)
	millis  = int64(time.Millisecond)
	forever = math.MaxInt64
)

var (
	infinite      = []Word{{"infinity", -1}}            // of integers and sizes
	neverTime     = []Word{{"never", int64(Unlimited)}} // of durations
	logLevels     = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}
	netsplitModes = []string{"off", "on", "majority"}
)

// declarations is the one table: every option in the order of the page.
func declarations() []Option {
	all := slices.Concat(
		generalOptions(), listenerOptions(), sessionOptions(), queueOptions(), retainedOptions(),
		securityOptions(), storageOptions(), telemetryOptions(), logOptions(),
		netsplitOptions(), clusterOptions(), laterOptions(), ignoredOptions(),
	)
	rank := map[string]int{}
	for i, s := range sections {
		rank[s.name] = i
	}
	slices.SortStableFunc(all, func(a, b Option) int { return rank[a.Section] - rank[b.Section] })
	return all
}

// section puts options under a heading.
func section(name string, options []Option) []Option {
	for i := range options {
		options[i].Section = name
	}
	return options
}
