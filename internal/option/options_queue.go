package option

func queueOptions() []Option {
	return section(sectionQueues, []Option{
		{Key: "max_online_messages", Kind: KindInt, Unit: "messages", Default: "1000", Min: -1, Max: 1 << 40, Reloadable: true,
			Doc:  "How many messages may wait for a connected client, those in flight not counted. At the bound queue_full and queue_type decide.",
			More: "More tolerates slower clients; less bounds memory and the age of what they get. -1 is no limit.",
			Zero: "0 lets nothing wait: a message is delivered if the window is open and dropped otherwise."},
		{Key: "max_offline_messages", Kind: KindInt, Unit: "messages", Default: "1000", Min: -1, Max: 1 << 40, Reloadable: true,
			Doc:  "How many QoS 1 and 2 messages are kept on disk for a persistent session whose client is away.",
			More: "More bridges longer absences; less bounds disk space. -1 is no limit but the disk.",
			Zero: "0 keeps none."},
		{Key: "override_max_online_messages", Kind: KindBool, Default: "off", Reloadable: true,
			Doc: "Lets a client that comes back have all its offline messages even if they are more than max_online_messages; new ones are held to the limit again."},
		{Key: "queue_type", Kind: KindEnum, Values: []string{"fifo", "lifo"}, Default: "fifo", Hidden: true, Reloadable: true,
			Doc: "What a full queue drops with queue_full = drop. fifo: the new message, so that what waits is the oldest. lifo: the oldest one, so that what waits is the newest. Delivery is in order either way."},
		{Key: "queue_full", Kind: KindEnum, Values: []string{"drop", "refuse"}, Default: "drop", Reloadable: true, Since: "0.1",
			Doc: "What a full queue of a persistent session does. drop: a message is dropped, counted by session and reason, and the publisher is answered with success. refuse: the publisher gets 0x97 (MQTT 3: no answer until there is room), so that one absent subscriber can hold up its publishers."},
		{Key: "max_msgs_per_drain_step", Kind: KindInt, Unit: "messages", Default: "100", Min: 1, Max: 100000, Hidden: true,
			Doc:  "How many messages one step of a queue's migration to another node copies.",
			More: "More moves a backlog faster; less lets other work in between."},
		{Key: "max_drain_time", Kind: KindDuration, Unit: "ms", Default: "500", Min: 0, Max: 3600 * seconds, Hidden: true, Reloadable: true,
			Doc:  "How long a migration waits at most after a failed step before it tries again; the first times it waits less.",
			More: "More spares a peer in trouble; less resumes sooner.",
			Zero: "0 tries again at once."},
		{Key: "outgoing_clustering_buffer_size", Kind: KindBytes, Unit: "bytes", Default: "8388608", Min: 0, Max: 1 << 30, Hidden: true,
			Doc:  "How much may wait in memory for the spool of one other node, while the disk is slower than publishers. Beyond it publishes that would need that spool are not admitted until it has caught up. Less than 1 MiB counts as 1 MiB: VerneMQ's usual value, for a buffer of another kind, would refuse ordinary bursts.",
			More: "More rides out longer pauses of the disk, for as much memory a node; less tells publishers sooner."},
	})
}

func retainedOptions() []Option {
	return section(sectionRetained, []Option{
		{Key: "shared_subscription_policy", Kind: KindEnum, Values: []string{"prefer_local", "random", "local_only", "prefer_online_before_local"}, Default: "prefer_local", Reloadable: true,
			Doc: "Which member of a shared subscription gets a message. An online member goes before an offline one under each. prefer_local: members on the publisher's node before others; local_only: no others; prefer_online_before_local: an online member anywhere before an offline one here; random: any."},
		{Key: "shared_subscription_timeout_action", Kind: KindEnum, Values: []string{"ignore", "requeue"}, Default: "ignore", Hidden: true,
			NotApplicable: "a message for another node is kept until that node confirmed it; VerneMQ reads the option nowhere either",
			Doc:           "In VerneMQ: documented as the behaviour when a remote member does not answer."},
		{Key: "subscriber_retain_mode", Kind: KindEnum, Values: []string{"immediate", "syncwait"}, Default: "immediate", Hidden: true, Reloadable: true,
			NotApplicable: "a retained message that was acknowledged is found by every later subscription, so there is nothing to wait for",
			Doc:           "In VerneMQ: whether a subscription waits for the retain store."},
		{Key: "expire_retain_cache", Kind: KindDuration, Unit: "s", Default: "0", Min: 0, Max: 31536000 * seconds,
			Doc:  "How often retained messages whose Message Expiry Interval has passed are removed from the store. They are never delivered after it, swept or not.",
			More: "More sweeps more rarely; less frees space sooner.",
			Zero: "0 leaves the pace to the broker, which sweeps in the background."},
		{Key: "max_last_will_delay", Kind: KindCalendar, Default: "client", Words: []Word{{"client", int64(Unlimited)}}, Min: 0, Max: forever, Reloadable: true,
			Doc:  "Caps the Will Delay Interval of MQTT 5 clients. client: what the client asked for. VerneMQ's suffixes: s, h, d, w, m (4 weeks), y (48 weeks).",
			More: "More lets clients be away longer before their will is published; less publishes it sooner.",
			Zero: "0s publishes every will at once."},
		{Key: "suppress_lwt_on_session_takeover", Kind: KindBool, Default: "off", Hidden: true, Reloadable: true,
			Doc: "Does not publish the will of a session that another connection with the same client id takes over."},
		{Key: "will_on_node_loss", Kind: KindEnum, Values: []string{"never", "majority", "always"}, Default: "majority", Since: "0.1", Reloadable: true,
			Doc: "Who publishes the wills of clients whose node is lost. majority: the part of the cluster with more than half of the members, once. always: every part, so up to once each. never: nobody, until the node is back."},
		{Key: "will_heal_grace", Kind: KindDuration, Unit: "s", Default: "5", Min: 0, Max: 3600 * seconds, Since: "0.1", Reloadable: true,
			Doc:  "How long a will that was kept through a stop of its node or a netsplit waits for its client to come back before it is published.",
			More: "More gives clients time to reconnect, on any node; less tells of those that are gone sooner.",
			Zero: "0 publishes it at once."},
	})
}
