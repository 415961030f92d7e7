package node

import (
	"math"
	"slices"
	"time"

	"tombolo/internal/option"
	"tombolo/mqtt/broker"
	"tombolo/mqtt/session"
	"tombolo/queue"
)

// brokerSettings turns options into the broker's settings.
func brokerSettings(s *option.Settings) *broker.Settings {
	return &broker.Settings{
		Limits:                 limits(s),
		Queue:                  queueConfig(s),
		SubscriptionsPerClient: s.Int("max_subscriptions_per_client"),
		MessageRateMax:         s.Int("max_message_rate"),
		OutboxBytesMax:         int(s.Bytes("max_outbox_bytes")),
		OutboxDisconnect:       s.String("outbox_full") == "disconnect",
		ConnectTimeout:         s.Duration("mqtt_connect_timeout"),
		SharePolicy:            sharePolicy(s.String("shared_subscription_policy")),
		SuppressWillOnTakeover: s.Bool("suppress_lwt_on_session_takeover"),
		WillGrace:              s.Duration("will_heal_grace"),
		WillOnNodeLoss:         willPolicy(s.String("will_on_node_loss")),
		Anonymous:              s.Bool("allow_anonymous"),
		QuietKeepAlive:         !s.Bool("logging.keepalive_as_warning"),
		HoldTimeout:            max(s.Duration("netsplit_hold_timeout"), time.Nanosecond), // zero would be the default there
		HoldBytesMax:           max(s.Bytes("netsplit_hold_bytes"), 1),
		TakeoversMax:           s.Int("cluster.takeovers_per_minute"),
		DrainStep:              s.Int("max_msgs_per_drain_step"),
		DrainPause:             max(s.Duration("max_drain_time"), time.Millisecond),
		RefuseWhenGated:        s.String("netsplit_publish_response") == "error",
	}
}

func willPolicy(word string) broker.WillPolicy {
	switch word {
	case "never":
		return broker.WillNever
	case "always":
		return broker.WillAlways
	}
	return broker.WillMajority
}

func limits(s *option.Settings) *session.Limits {
	return &session.Limits{
		Versions:             session.AllVersions,
		ClientIDBytesMax:     s.Int("max_client_id_size"),
		PacketBytesMax:       int(s.Bytes("max_message_size")),
		TopicDepthMax:        s.Int("topic_max_depth"),
		InflightMax:          s.Int("max_inflight_messages"),
		ReceiveMaxClient:     uint16(s.Int("receive_max_client")),
		ReceiveMaxBroker:     uint16(s.Int("receive_max_broker")),
		TopicAliasMaxClient:  uint16(s.Int("topic_alias_max_client")),
		TopicAliasMaxBroker:  uint16(s.Int("topic_alias_max_broker")),
		KeepAliveMax:         uint16(s.Duration("max_keepalive") / time.Second),
		ServerKeepAlive:      uint16(s.Duration("server_keep_alive") / time.Second),
		SessionExpiryMax:     seconds(s.Duration("max_session_expiry_interval")),
		PersistentExpiry:     seconds(s.Duration("persistent_client_expiration")),
		WillDelayMax:         seconds(s.Duration("max_last_will_delay")),
		UpgradeQoS:           s.Bool("upgrade_outgoing_qos"),
		DisconnectRefusedV31: s.Bool("disconnect_on_unauthorized_publish_v3"),
	}
}

// seconds is a duration as MQTT counts it; what is longer than MQTT can say
// never ends.
func seconds(d time.Duration) uint32 {
	n := int64(d / time.Second)
	if d < 0 || n >= math.MaxUint32 {
		return session.ExpiryNever
	}
	return uint32(n)
}

// memoryEntriesMax bounds what a client's window makes a queue hold in memory.
const memoryEntriesMax = 1024

func queueConfig(s *option.Settings) queue.Config {
	// A queue that holds less than what may be on its way to the client reads from
	// the store what has come while one window was not acknowledged.
	entries := min(max(2*s.Int("max_inflight_messages"), queue.DefaultMemoryEntries), memoryEntriesMax)
	return queue.Config{
		MemoryEntries:     entries,
		MemoryBytes:       entries * (queue.DefaultMemoryBytes / queue.DefaultMemoryEntries),
		MaxOnline:         s.Int("max_online_messages"),
		MaxOffline:        s.Int("max_offline_messages"),
		LIFO:              s.String("queue_type") == "lifo",
		Refuse:            s.String("queue_full") == "refuse",
		OverrideMaxOnline: s.Bool("override_max_online_messages"),
	}
}

func sharePolicy(s string) broker.SharePolicy {
	switch s {
	case "random":
		return broker.Random
	case "local_only":
		return broker.LocalOnly
	case "prefer_online_before_local":
		return broker.PreferOnlineBeforeLocal
	default:
		return broker.PreferLocal
	}
}

// versions turns a listener's allowed_protocol_versions into bits.
func versions(list []int) uint8 {
	bits := uint8(0)
	for _, v := range list {
		if slices.Contains([]int{3, 4, 5}, v) {
			bits |= 1 << v
		}
	}
	return bits
}
