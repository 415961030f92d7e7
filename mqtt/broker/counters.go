package broker

import (
	"strings"

	"tombolo/internal/metric"
	"tombolo/mqtt/packet"
)

// counters are the broker's own metrics. Safe for concurrent use.
type counters struct {
	received       map[string]*metric.Counter // packets by type
	publishIn      [3]*metric.Counter
	publishOut     [3]*metric.Counter
	bytesIn        *metric.Counter
	bytesOut       *metric.Counter
	connack        map[string]*metric.Counter
	malformed      *metric.Counter
	closed         map[string]*metric.Counter
	errors         [256]*metric.Counter // by reason code; nil below 0x80
	dropped        map[string]*metric.Counter
	publishError   *metric.Counter
	unauthorized   map[string]*metric.Counter
	noMatch        *metric.Counter
	takeovers      *metric.Counter
	expired        *metric.Counter
	orphansDropped *metric.Counter
	keepAlive      *metric.Counter
	wills          *metric.Counter
	retainedSet    *metric.Counter
	paused         *metric.Counter
	panics         *metric.Counter
	commitFailed   *metric.Counter
	arrived        *metric.Counter
	arrivedBad     *metric.Counter
	unsent         *metric.Counter
	moved          *metric.Counter
	redirected     *metric.Counter
	held           *metric.Counter
	heldClosed     map[string]*metric.Counter
	denied         *metric.Counter
	heldBack       *metric.Counter
	migratedIn     *metric.Counter
	migratedOut    *metric.Counter
	migrations     *metric.Counter
	orderBroken    *metric.Counter
	idsMissed      *metric.Counter
	adopted        *metric.Counter
	turnedUp       *metric.Counter
	audits         *metric.Counter
	auditDiffers   map[string]*metric.Counter
}

// Reasons for which a delivery is given up. One per receiver (P12).
const (
	dropQueueFull = "queue_full"
	dropOutbox    = "outbox_full"
	dropTooLarge  = "packet_too_large"
	dropOffline   = "offline"
	dropGate      = "netsplit"
	dropStore     = "store_failed"
	dropReserved  = "reserved_topic"
	dropDenied    = "not_authorized"
	dropLink      = "link_full"
	dropExpired   = "expired"
)

// Reasons for which connections end, as labels.
const (
	closeClient    = "client"
	closeLost      = "connection_lost"
	closeProtocol  = "protocol"
	closeKeepAlive = "keep_alive"
	closeTakeover  = "taken_over"
	closeAdmin     = "administrative"
	closeShutdown  = "shutdown"
	closeMoved     = "moved"
	closeRefused   = "refused"
	closeSlow      = "slow_consumer"
	closeSilent    = "connect_timeout"
)

var packetTypes = []packet.Type{
	packet.TypeConnect, packet.TypePublish, packet.TypePuback, packet.TypePubrec, packet.TypePubrel,
	packet.TypePubcomp, packet.TypeSubscribe, packet.TypeUnsubscribe, packet.TypePingreq,
	packet.TypeDisconnect, packet.TypeAuth,
}

func newCounters(m *metric.Registry) *counters {
	c := &counters{}
	qos := func(name, help, verne string) [3]*metric.Counter {
		v := m.CounterVec(metric.Opts{Name: name, Help: help, Verne: verne, Label: "qos"}, "0", "1", "2")
		return [3]*metric.Counter{v["0"], v["1"], v["2"]}
	}
	c.publishIn = qos("mqtt_publish_received_total", "PUBLISH packets received.", "mqtt_publish_received")
	c.publishOut = qos("mqtt_publish_sent_total", "PUBLISH packets sent.", "mqtt_publish_sent")
	types := make([]string, len(packetTypes))
	for i, t := range packetTypes {
		types[i] = t.String()
	}
	c.received = m.CounterVec(metric.Opts{Name: "mqtt_packets_received_total", Help: "Control packets received.", Label: "type"}, types...)
	c.bytesIn = m.Counter(metric.Opts{Name: "mqtt_received_bytes_total", Help: "Bytes received from clients.", Verne: "bytes_received"})
	c.bytesOut = m.Counter(metric.Opts{Name: "mqtt_sent_bytes_total", Help: "Bytes handed to connections.", Verne: "bytes_sent"})
	c.connack = m.CounterVec(metric.Opts{Name: "mqtt_connack_sent_total", Help: "CONNACK packets sent.", Verne: "mqtt_connack_sent", Label: "outcome"}, "accepted", "refused")
	c.malformed = m.Counter(metric.Opts{Name: "mqtt_invalid_packets_total", Help: "Packets that the standard forbids."})
	c.closed = m.CounterVec(metric.Opts{Name: "mqtt_connections_closed_total", Help: "Connections ended, by reason.", Label: "reason"},
		closeClient, closeLost, closeProtocol, closeKeepAlive, closeTakeover, closeAdmin, closeShutdown, closeRefused, closeSlow, closeSilent, closeMoved)
	c.errors = errorCounters(m)
	c.dropped = m.CounterVec(metric.Opts{Name: "mqtt_messages_dropped_total", Help: "Deliveries given up on purpose, one per receiver.", Label: "reason"},
		dropQueueFull, dropOutbox, dropTooLarge, dropOffline, dropGate, dropStore, dropReserved, dropDenied, dropLink, dropExpired)
	c.publishError = m.Counter(metric.Opts{Name: "mqtt_publish_refused_total", Help: "PUBLISH packets that were not admitted.", Verne: "mqtt_publish_error"})
	c.unauthorized = m.CounterVec(metric.Opts{Name: "mqtt_not_authorized_total", Help: "Requests that the rules forbid.", Label: "request"}, "connect", "publish", "subscribe")
	c.noMatch = m.Counter(metric.Opts{Name: "router_no_match_total", Help: "Messages that matched no subscription."})
	c.takeovers = m.Counter(metric.Opts{Name: "session_takeovers_total", Help: "Connections closed because the client id connected again."})
	c.orphansDropped = m.Counter(metric.Opts{Name: "queues_orphaned_dropped_total", Help: "Stored queues that were dropped because no session turned up for them."})
	c.expired = m.Counter(metric.Opts{Name: "session_expired_total", Help: "Sessions that reached their expiry.", Verne: "client_expired"})
	c.keepAlive = m.Counter(metric.Opts{Name: "mqtt_keep_alive_expired_total", Help: "Connections that were silent for 1.5 times their keep alive.", Verne: "client_keepalive_expired"})
	c.wills = m.Counter(metric.Opts{Name: "mqtt_wills_published_total", Help: "Will messages published."})
	c.retainedSet = m.Counter(metric.Opts{Name: "retained_writes_total", Help: "Retained messages set or cleared."})
	c.paused = m.Counter(metric.Opts{Name: "mqtt_reads_paused_total", Help: "Times a connection was not read for a while, because of its rate or its unread output."})
	c.panics = m.Counter(metric.Opts{Name: "session_panics_total", Help: "Sessions ended by a bug of ours."})
	c.commitFailed = m.Counter(metric.Opts{Name: "store_commits_failed_total", Help: "Writes of the broker that a store refused."})
	c.cluster(m)
	return c
}

// Reasons for which a client whose publishes are held is closed.
const (
	heldTooLong = "timeout"
	heldClient  = "max_inflight_messages"
	heldNode    = "netsplit_hold_bytes"
)

// cluster makes the counters of what goes from node to node.
func (c *counters) cluster(m *metric.Registry) {
	c.arrived = m.Counter(metric.Opts{Name: "cluster_publish_received_total", Help: "Messages that other nodes have sent for clients of this one."})
	c.arrivedBad = m.Counter(metric.Opts{Name: "cluster_publish_invalid_total", Help: "Messages of other nodes that could not be read."})
	c.unsent = m.Counter(metric.Opts{Name: "cluster_publish_failed_total", Help: "Messages that could neither be sent to a node nor spooled for it; their publishers are not acknowledged."})
	c.moved = m.Counter(metric.Opts{Name: "cluster_shared_moved_total", Help: "Messages for a shared subscription that went to another member because a node did not take them."})
	c.redirected = m.Counter(metric.Opts{Name: "cluster_publish_redirected_total", Help: "Messages for the old home of a session that were sent on to its new one."})
	c.held = m.Counter(metric.Opts{Name: "netsplit_publish_held_total", Help: "Publishes that were held because of a netsplit or a full spool."})
	c.heldClosed = m.CounterVec(metric.Opts{Name: "netsplit_held_closed_total", Help: "Clients that were closed because their held publishes reached a bound.", Label: "bound"},
		heldTooLong, heldClient, heldNode)
	c.denied = m.Counter(metric.Opts{Name: "cluster_register_denied_total", Help: "Clients that were refused because their id was not granted by the other nodes."})
	c.heldBack = m.Counter(metric.Opts{Name: "mqtt_connects_held_back_total", Help: "CONNECT packets that waited for a second, since their client id is taken over by turns at several nodes (cluster.takeovers_per_minute)."})
	c.migratedIn = m.Counter(metric.Opts{Name: "queue_migrated_in_total", Help: "Queued messages that came from a session's old home."})
	c.migratedOut = m.Counter(metric.Opts{Name: "queue_migrated_out_total", Help: "Queued messages that a session's new home has taken."})
	c.migrations = m.Counter(metric.Opts{Name: "queue_migrations_total", Help: "Queues that have left this node for a session's new home."})
	c.idsMissed = m.Counter(metric.Opts{Name: "queue_packet_ids_missed_total", Help: "Sessions that went on without the QoS 2 packet ids of their old home, which it did not send within five seconds."})
	c.orderBroken = m.Counter(metric.Opts{Name: "queue_order_broken_total", Help: "Sessions that were given new messages before older ones, because their old home could not be reached, or a member was late with what it sends for them."})
	c.adopted = m.Counter(metric.Opts{Name: "sessions_adopted_total", Help: "Sessions without a client of which this node became the home, because theirs left or is gone."})
	c.turnedUp = m.Counter(metric.Opts{Name: "sessions_turned_up_total", Help: "Sessions of this node that its own tables lacked and the other members knew: its disk was lost in part, or is that of a backup."})
	c.audits = m.Counter(metric.Opts{Name: "cluster_route_audits_total", Help: "Comparisons of this node's routes with what they were made from."})
	c.auditDiffers = m.CounterVec(metric.Opts{Name: "cluster_route_audit_differences_total", Help: "Differences that they found, and mended: against what peers announced, the tables, and in the topic index.", Label: "against"},
		"announced", "tables", "index")
}

// errorCounters makes one counter for each reason code that is an error.
func errorCounters(m *metric.Registry) (out [256]*metric.Counter) {
	var labels []string
	codes := map[string]packet.ReasonCode{}
	for r := packet.UnspecifiedError; r <= packet.WildcardSubNotSupported; r++ {
		label := strings.ReplaceAll(strings.ToLower(r.String()), " ", "_")
		labels = append(labels, label)
		codes[label] = r
	}
	opts := metric.Opts{Name: "mqtt_connection_errors_total", Help: "Connections refused or ended by the broker, by MQTT 5 reason code.", Label: "reason"}
	for label, counter := range m.CounterVec(opts, labels...) {
		out[codes[label]] = counter
	}
	return out
}
