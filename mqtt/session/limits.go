package session

import "tombolo/mqtt/packet"

// ExpiryNever is the session expiry interval that means "never".
const ExpiryNever = 0xFFFFFFFF

// Limits is what the operator allows. Immutable once built; sessions share it.
type Limits struct {
	Versions             uint8  // bit 1<<3 MQTT 3.1, 1<<4 3.1.1, 1<<5 MQTT 5
	ClientIDBytesMax     int    // max_client_id_size
	PacketBytesMax       int    // max_message_size; 0 = the standard's limit
	TopicDepthMax        int    // topic_max_depth; 0 = unlimited
	InflightMax          int    // max_inflight_messages, MQTT 3.x; 0 = no limit of ours
	ReceiveMaxClient     uint16 // receive_max_client: cap on what is unacknowledged to a client
	ReceiveMaxBroker     uint16 // receive_max_broker: advertised to clients
	TopicAliasMaxClient  uint16 // topic_alias_max_client: what a client may use
	TopicAliasMaxBroker  uint16 // topic_alias_max_broker: what we use
	KeepAliveMax         uint16 // max_keepalive, seconds; 0 = no limit
	ServerKeepAlive      uint16 // server_keep_alive, seconds; 0 = the client decides
	SessionExpiryMax     uint32 // max_session_expiry_interval, seconds
	PersistentExpiry     uint32 // persistent_client_expiration for 3.x, seconds
	WillDelayMax         uint32 // max_last_will_delay, seconds; ExpiryNever = the client decides
	UpgradeQoS           bool   // upgrade_outgoing_qos
	DisconnectRefusedV31 bool   // disconnect_on_unauthorized_publish_v3
}

// AllVersions is the default of allowed_protocol_versions.
const AllVersions = 1<<3 | 1<<4 | 1<<5

func (l *Limits) allows(v packet.Version) bool { return l.Versions&(1<<v) != 0 }
