package option

func generalOptions() []Option {
	return section(sectionGeneral, []Option{
		{Key: "nodename", Kind: KindString, Default: "tombolo@127.0.0.1",
			Doc: "The name of this node, as it stands in logs, in metrics (label node) and in $SYS/<nodename>/. Unique in a cluster. It is a label only: a node is known by the id in its data directory, so the name may change."},
		{Key: "data_dir", Kind: KindDir, Default: "./data", Since: "0.1",
			Doc: "The directory of everything that must survive a restart: node id, metadata, message store. It is created if it is missing, belongs to one running process, and must not be copied from one node to another. A relative path starts at the working directory of the process."},
		{Key: "admin.socket", Kind: KindOutput, Since: "0.1", Example: "/run/tombolo/admin.sock",
			Doc: "The path of the Unix socket through which tombolo show, set, metrics and the like reach this node; only root and the owner of the process may open it. Unset, it is admin.sock in data_dir. A path longer than about 100 bytes is refused by the system."},
		{Key: "shutdown_timeout", Kind: KindDuration, Default: "30s", Min: 0, Max: 3600 * seconds, Since: "0.1",
			Doc:  "How long a stop may take. On SIGTERM listeners close, MQTT 5 clients get DISCONNECT 0x8B, stores are flushed; the process ends when all that is done, a second or two as a rule. Clients and other nodes that do not answer are given up within this time; five seconds after it the process ends whatever is left, with an error.",
			More: "More lets slow clients and disks finish; less makes a restart quicker. Keep it ten seconds below the limit of what stops the process (systemd: TimeoutStopSec, 90 s in the unit that comes with this).",
			Zero: "0 closes everything without waiting; what was acknowledged is on disk all the same."},
		{Key: "pprof", Kind: KindBool, Default: "off", Since: "0.1",
			Doc: "Serves Go's profiles under /debug/pprof/ on the http and https listeners. A profile shows memory contents and costs CPU: it is served on loopback listeners only."},
		{Key: "mqtt_connect_timeout", Kind: KindDuration, Unit: "ms", Default: "5000", Min: millis, Max: 3600 * seconds, Hidden: true, Reloadable: true,
			Doc:  "How long a new connection may take, TLS and WebSocket handshake included, until its CONNECT is complete. After that it is closed and counted.",
			More: "More is kinder to devices on bad links; less frees descriptors held by connections that never say anything."},
	})
}

func netsplitOptions() []Option {
	flag := func(op, what, gets string) Option {
		return Option{Key: "allow_" + op + "_during_netsplit", Kind: KindEnum, Values: netsplitModes, Default: "off", Reloadable: true,
			Doc: "Whether " + what + " while a member of the cluster cannot be reached. off: no; " + gets + " on: yes, in every part of the split; the parts are merged when it heals. majority: yes in the part that holds more than half of the members, so in one part at most. A cluster of two behaves as with off, a single node is always a majority."}
	}
	return section(sectionNetsplit, []Option{
		flag("register", "clients may connect", "CONNACK 3 (MQTT 5: 0x88) and a close."),
		flag("publish", "clients may publish", "QoS 0 is dropped and counted, QoS 1 and 2 are answered as netsplit_publish_response says."),
		flag("subscribe", "clients may subscribe", "SUBACK 0x80 (MQTT 5: 0x83) for every filter."),
		flag("unsubscribe", "MQTT 5 clients may unsubscribe", "UNSUBACK 0x83. MQTT 3.1 and 3.1.1 have no code to refuse with: there it is always applied."),
		{Key: keyTradeConsistency, Kind: KindBool, Default: "off", Reloadable: true,
			Doc: "Sets the four allow_…_during_netsplit options to on, except those that are set themselves: availability on every side, at the price of two live sessions for one client id until the heal. At run time, switching it on sets all four; switching it off changes none."},
		{Key: "netsplit_publish_response", Kind: KindEnum, Values: []string{"hold", "error"}, Default: "hold", Reloadable: true, Since: "0.1",
			Doc: "What an MQTT 5 client gets for a QoS 1 or 2 publish that the gate refuses. hold: no answer until the heal, as for MQTT 3. error: 0x83 with a reason string that names the netsplit; many client libraries take that for an end and forget the message."},
		{Key: "netsplit_hold_timeout", Kind: KindDuration, Default: "10s", Min: 0, Max: 3600 * seconds, Reloadable: true, Since: "0.1",
			Doc:  "How long a held publish waits for the heal. Then its connection is closed, so that the client connects elsewhere and sends it again. A client waits min(netsplit_hold_timeout, keep alive / 2).",
			More: "More rides out longer splits without a reconnect; less moves clients to the other side sooner.",
			Zero: "0 holds nothing: the connection is closed at once."},
		{Key: "netsplit_hold_bytes", Kind: KindBytes, Default: "64MB", Min: 0, Max: 1 << 40, Reloadable: true, Since: "0.1",
			Doc:  "The memory that all held publishes of this node may take together; a client holds at most max_inflight_messages of them. At either bound the connection is closed and counted.",
			More: "More keeps more clients connected through a split; less protects the node's memory.",
			Zero: "0 holds nothing."},
	})
}

func clusterOptions() []Option {
	os := []Option{
		{Key: "cluster.name", Kind: KindString, Default: "tombolo", Doc: "The name of the cluster. A node that has one of cluster.seeds, cluster.secret_key, cluster.bind_address, cluster.cafile and cluster.insecure set takes part in a cluster; without them it is by itself and opens no port for others. A node of another name is refused, so that two clusters that find each other do not become one."},
		{Key: "cluster.seeds", Kind: KindList, Example: "10.0.0.1:44054,10.0.0.2:44054", Doc: "Gossip addresses (host:port) of members to find the others through; one that answers is enough. Every node may carry the same list, itself included. A port that is left out is cluster.gossip_port. Empty means a node that waits to be joined."},
		{Key: "cluster.secret_key", Kind: KindString, Secret: true, Example: "$(</etc/tombolo/cluster.key)", Doc: "The shared secret of gossip and links, the same on all nodes: 16, 24 or 32 bytes in base64, or any text of 16 characters or more. Without it, and without TLS, nothing listens on an address that other machines can reach."},
		{Key: "cluster.bind_address", Kind: KindString, Default: "0.0.0.0", Doc: "The IP address on which links and gossip listen."},
		{Key: "cluster.advertise_address", Kind: KindString, Example: "10.0.0.1", Doc: "The IP address that other nodes use to reach this one, when it is not the bind address (NAT, containers). Unset, it is the bind address, or the first private address if that is 0.0.0.0."},
		{Key: "cluster.link_port", Kind: KindInt, Default: "44053", Min: 1, Max: 65535, Doc: "The TCP port of the links between nodes. The default, which is VerneMQ's, lies in the range from which Linux takes the ports of outgoing connections: reserve it with net.ipv4.ip_local_reserved_ports = 44053,44054.", More: "It is a name, not an amount."},
		{Key: "cluster.gossip_port", Kind: KindInt, Default: "44054", Min: 1, Max: 65535, Doc: "The TCP and UDP port of gossip.", More: "It is a name, not an amount."},
		{Key: "cluster.advertise_link_port", Kind: KindInt, Default: "0", Min: 0, Max: 65535, Doc: "The link port that other nodes use, if it is mapped.", More: "It is a name, not an amount.", Zero: "0 is cluster.link_port."},
		{Key: "cluster.advertise_gossip_port", Kind: KindInt, Default: "0", Min: 0, Max: 65535, Doc: "The gossip port that other nodes use, if it is mapped.", More: "It is a name, not an amount.", Zero: "0 is cluster.gossip_port."},
		{Key: "cluster.insecure", Kind: KindBool, Default: "off", Doc: "Says in so many words that links and gossip may listen on a routable address without secret or TLS."},
		{Key: "cluster.durability_may_differ", Kind: KindBool, Default: "off", Doc: "Lets this node link with members of another durability, which is refused otherwise: what a member acknowledges is then as safe as the weakest member that has a part in it. Both sides have to say so."},
		{Key: "cluster.cafile", Kind: KindFile, Doc: "PEM file of the authorities that sign the certificates of nodes. With it, links are mutual TLS."},
		{Key: "cluster.certfile", Kind: KindFile, Doc: "PEM file of this node's certificate (chain) for links."},
		{Key: "cluster.keyfile", Kind: KindFile, Doc: "PEM file of the key to cluster.certfile."},
		{Key: "cluster.expected_members", Kind: KindInt, Default: "0", Reloadable: true, Min: 0, Max: 1000, Doc: "How many members the cluster is meant to have. /ready answers 503 until that many are known, so that a load balancer does not send clients to a node that has just been born alone.", More: "More than there are keeps every node unready; fewer has no effect once they are there, nor has a member that is removed later, until a restart.", Zero: "0 expects nothing."},
		{Key: "cluster.dead_member_timeout", Kind: KindDuration, Default: "never", Words: neverTime, Reloadable: true, Min: 5 * seconds, Max: forever, Doc: "After how long a missing member stops gating the others. Its data is kept, and it may come back; only the primary side of a split decides it.", More: "More waits longer for repair before the flags open; less opens the gate sooner after a machine died."},
		{Key: "cluster.tiebreaker", Kind: KindString, Reloadable: true, Doc: "The node name that decides an even split: the half that holds it counts as the majority."},
		{Key: "cluster.publish_confirm_wait", Kind: KindDuration, Reloadable: true, Default: "100ms", Min: millis, Max: 60 * seconds, Doc: "How long an admitted publish waits for another node's confirmation before a copy is written to the local spool and acknowledged on that.", More: "More saves disk writes when a peer is slow for a moment; less bounds the publisher's wait."},
		{Key: "cluster.takeovers_per_minute", Kind: KindInt, Default: "60", Min: 0, Max: 1_000_000, Reloadable: true, Doc: "How often a connected client may be taken over by a CONNECT with its id at another node, in a minute. Beyond, it is named in the log and each of its CONNECTs waits for a second: two clients with one id take each other over for ever.", More: "More lets clients that move fast do so; less bounds earlier what two clients with one id cost.", Zero: "0 is no limit."},
		{Key: "cluster.spool_limit", Kind: KindBytes, Default: "1GB", Min: 0, Max: 1 << 50, Doc: "How much the spool for one unreachable node may hold. At the limit publishes that would need it are no longer acknowledged.", More: "More rides out longer absences; less keeps room on the disk.", Zero: "0 spools nothing: publishes that need a missing node wait for it."},
		{Key: "cluster.rehearsal", Kind: KindBool, Default: "off", Hidden: true, Doc: "Lets tombolo dev split cut this node off from others through the admin socket, to rehearse a netsplit: every byte from and to them is dropped without a word. Not for production."},
		{Key: "cluster.rehearsal_clock", Kind: KindInt, Unit: "seconds", Default: "0", Min: -366 * 86400, Max: 366 * 86400, Reloadable: true, Hidden: true, Doc: "By how much this node reads its wall clock wrong, to rehearse a clock that somebody has set: timers go on as they do on a real machine. Refused without cluster.rehearsal. Not for production.", More: "More is later than the machine's clock, less than 0 is earlier.", Zero: "0 is the machine's clock."},
		{Key: "cluster.max_clock_drift", Kind: KindDuration, Default: "10s", Min: millis, Max: 86400 * seconds, Doc: "How far this node's clock may be from the median of its peers before an alarm is raised. No write is ever refused for it.", More: "More is silent longer; less alarms about ordinary jitter."},
	}
	os = append(os, memberlistOptions()...)
	for i := range os {
		os[i].Since = "0.1"
	}
	return section(sectionCluster, os)
}

// memberlistOptions tune gossip; the judge of a netsplit is not among them.
func memberlistOptions() []Option {
	duration := func(name, def, doc, more string) Option {
		return Option{Key: "cluster.memberlist." + name, Kind: KindDuration, Unit: "ms", Default: def, Min: millis, Max: 86400 * seconds, Hidden: true, Doc: doc, More: more}
	}
	count := func(name, def, doc, more string) Option {
		return Option{Key: "cluster.memberlist." + name, Kind: KindInt, Default: def, Min: 1, Max: 100, Hidden: true, Doc: doc, More: more}
	}
	return []Option{
		duration("tcp_timeout", "10s", "The limit of one TCP exchange of gossip: dial, push/pull, fallback probe.", "More for slow links; less notices dead hosts sooner."),
		duration("push_pull_interval", "15s", "How often a full exchange with one random member is made.", "More saves traffic; less converges sooner after loss."),
		duration("probe_interval", "1s", "How often one member is probed.", "More saves traffic; less finds dead members sooner: a member is suspected after about one interval."),
		duration("probe_timeout", "500ms", "How long a direct probe waits for its answer before others are asked to probe; less than probe_interval.", "More for slow links; less asks others sooner."),
		duration("gossip_interval", "200ms", "How often queued news are sent to random members.", "More saves packets; less spreads news sooner: about log(members) intervals."),
		duration("gossip_to_the_dead_time", "30s", "How long dead members still get gossip, so that they can refute their death.", "More helps short absences; finding them again afterwards does not depend on it."),
		count("indirect_checks", "3", "How many members are asked to probe one that did not answer.", "More tolerates more broken paths; less is cheaper."),
		count("retransmit_mult", "4", "News are sent retransmit_mult × log10(members + 1) times.", "More survives more packet loss; less is cheaper."),
		count("suspicion_mult", "4", "A suspect is declared dead after suspicion_mult × log10(members) × probe_interval, at least suspicion_mult × probe_interval.", "More gives slow nodes time to refute; less declares death sooner."),
	}
}
