package option

// Reasons that stand for a whole family of options.
const (
	whyErlang    = "it tunes the Erlang virtual machine, and this broker is a Go program"
	whyDistro    = "nodes do not talk through Erlang's distribution; see the cluster.* options"
	whyLevelDB   = "it tunes another LevelDB; leveldb.maximum_memory and durability are what matters here"
	whyMetadata  = "the metadata store has no such part here: exchange and garbage collection follow what differs, not a timer"
	whyDirs      = "everything lives under data_dir"
	whyHelp      = "it is a help text of vmq-admin"
	whyBuffers   = "links between nodes have windows and a spool of their own; see cluster.spool_limit"
	whyBcrypt    = "password hashing needs no helper processes here"
	whyLinks     = "the address and settings of the links between nodes are cluster.bind_address and cluster.link_port"
	whyRegView   = "there is one routing table, and nothing to choose"
	whyCrash     = "there are no Erlang crash reports; a fault of the broker is in the log with its stack"
	whyReadiness = "reachability is judged by heartbeats, not by calls; see the netsplit guide"
)

// ignoredOptions are VerneMQ's options that can have no effect here.
func ignoredOptions() []Option {
	var out []Option
	add := func(reason, doc string, keys ...string) {
		out = append(out, plain(KindString, doc, ignoredFor(reason), keys...)...)
	}
	add("it was removed from VerneMQ too", "In older VerneMQ: agreement to the licence of its packages.", "accept_eula")
	out = append(out, plain(KindString, "In VerneMQ: the shared secret of the cluster.", withSecret(ignoredFor("the shared secret of a cluster is cluster.secret_key")), "distributed_cookie=vmq")...)
	add("there is one replicated store, built on server-wide clocks", "In VerneMQ: the replicated metadata engine.", "metadata_plugin=vmq_swc")
	add("there is one message store", "In VerneMQ: the plugin that stores messages.", "message_store_plugin=vmq_generic_msg_store", "vmq_generic_msg_store.db_backend=leveldb", "vmq_generic_msg_store.nr_of_buckets=12")
	add(whyDirs, "In VerneMQ: a directory.", "vmq_generic_msg_store.store_dir", "vmq_swc.directory", "vmq_swc.dkm_directory", "plumtree.directory", "leveldb.data_root", "platform_data_dir", "setup.log_dir", "setup.data_dir")
	add("registrations of one client id are always serialised", "In VerneMQ: whether they are.", "coordinate_registrations=on")
	add(whyReadiness, "In VerneMQ: the limit of the readiness check.", "cluster_ready_rpc_timeout=5000")
	add(whyBuffers, "In VerneMQ: buffering between nodes.", "remote_enqueue_timeout=5000", "incoming_clustering_buffer_size=67108864", "outgoing_clustering_flush_threshold=65536", "outgoing_cluster_handshake_ack_timeout=250")
	add(whyErlang, "In VerneMQ: Erlang socket options.", "outgoing_connect_options", "tcp_listen_options")
	add(whyRegView, "In VerneMQ: the routing table.", "default_reg_view=vmq_reg_trie", "reg_views", "systree_reg_view=vmq_reg_trie")
	add("fan-out to local subscribers is not sharded: each has its own outbox", "In VerneMQ: shards of local fan-out.", "fanout.shard_count=1", "fanout.async_handoff=off")
	add(whyErlang, "In VerneMQ: supervisors and schema directories.", "queue_sup_sup_children=50", "wait_for_proc=vmq_server_sup", "default_schema_dir=off")
	add(whyHelp, "In VerneMQ: a help text.", "vmq_diversity.clique_lead_line", "vmq_webhooks.clique_lead_line", "vmq_bridge.clique_lead_line")
	add(whyBcrypt, "In VerneMQ: bcrypt workers.", "vmq_bcrypt.pool_size=1", "vmq_bcrypt.nif_pool_size=4", "vmq_bcrypt.nif_pool_max_overflow=10", "vmq_bcrypt.default_log_rounds=12", "vmq_bcrypt.mechanism=port")
	add(whyMetadata, "In VerneMQ: the replicated metadata store.",
		"vmq_swc.db_backend=leveldb", "vmq_swc.swc_groups=10", "vmq_swc.sync_interval=5000", "vmq_swc.sync_interval.leeway=2500", "vmq_swc.gc_interval=15000", "vmq_swc.periodic_gc=on", "vmq_swc.sync_timeout=60000",
		"vmq_swc.fast_call_timeout=5000", "vmq_swc.enable_broadcast=on", "vmq_swc.exchange_batch_size=100", "vmq_swc.init_sync_procedure=off", "vmq_swc.prevent_nonempty_join=on", "plumtree.outstanding_limit=250000", "plumtree.drop_i_have_threshold=1000000")
	add(whyLevelDB, "In VerneMQ: a setting of its LevelDB.",
		"leveldb.limited_developer_mem=off", "leveldb.write_buffer_size_min=30MB", "leveldb.write_buffer_size_max=60MB", "leveldb.bloomfilter=on", "leveldb.block_cache_threshold=32MB", "leveldb.block.size=4KB",
		"leveldb.block.restart_interval=16", "leveldb.block.size_steps=16", "leveldb.verify_checksums=on", "leveldb.verify_compaction=on", "leveldb.threads=71", "leveldb.fadvise_willneed=false", "leveldb.compression.algorithm",
		"leveldb.compaction.trigger.tombstone_count=1000", "leveldb.tiered=off", "leveldb.tiered.path.fast", "leveldb.tiered.path.slow", "leveldb.cache_object_warming=true", "leveldb.expiration=off",
		"leveldb.expiration.retention_time=unlimited", "leveldb.expiration.mode=whole_file")
	for _, sink := range []string{"crash", "sasl"} {
		add(whyCrash, "In VerneMQ: a log of Erlang's reports.", "log."+sink+"=off", "log."+sink+".file", "log."+sink+".rotation.size=infinity", "log."+sink+".rotation.keep=5", "log."+sink+".rotation.compress_on_rotate=off")
	}
	add(whyCrash, "In VerneMQ: Erlang's reports.", "sasl=off")
	add("the shape of a line is fixed; log.console.console.format chooses text or json", "In VerneMQ: the shape of a log line.", "log.template=extended")
	out = append(out, plain(KindString, "In VerneMQ: the secret that credentials are obfuscated with in memory.", withSecret(ignoredFor("passwords are not kept after they were checked, so there is nothing to obfuscate")), "logging.obfuscation_secret=random")...)
	out = append(out, erlangOptions()...)
	for _, kind := range []string{"vmq", "vmqs"} {
		prefix := "listener." + kind + "."
		add(whyLinks, "In VerneMQ: the channel between nodes.", prefix+"$name")
		for _, key := range linkKeys[kind] {
			reason := ignoredFor(whyLinks)
			if key == "keypasswd" {
				reason = withSecret(reason)
			}
			out = append(out, plain(KindString, "In VerneMQ: a setting of the channel between nodes.", reason, prefix+key, prefix+"$name."+key)...)
		}
	}
	return section(sectionIgnored, out)
}

// linkKeys are the settings of VerneMQ's listeners between nodes.
var linkKeys = map[string][]string{
	"vmq":  {"max_connections", "nr_of_acceptors", "mountpoint", "buffer_sizes", "high_watermark", "low_watermark", "high_msgq_watermark", "low_msgq_watermark"},
	"vmqs": {"max_connections", "nr_of_acceptors", "mountpoint", "cafile", "certfile", "keyfile", "keypasswd", "depth", "ciphers", "eccs", "crlfile", "require_certificate", "tls_version", "tls_handshake_timeout"},
}

func erlangOptions() []Option {
	var out []Option
	for _, name := range []string{
		"smp", "W", "schedulers.total", "schedulers.online", "K", "async_threads", "async_threads.stack_size", "fullsweep_after", "crash_dump", "process_limit", "distribution_buffer_size",
		"schedulers.force_wakeup_interval", "schedulers.compaction_of_load", "schedulers.utilization_balancing", "max_ports", "max_ets_tables",
	} {
		out = append(out, plain(KindString, "In VerneMQ: a setting of the virtual machine.", ignoredFor(whyErlang), "erlang."+name)...)
	}
	for _, name := range []string{"port_range.minimum", "port_range.maximum", "interface", "net_ticktime"} {
		out = append(out, plain(KindString, "In VerneMQ: a setting of Erlang's distribution.", ignoredFor(whyDistro), "erlang.distribution."+name)...)
	}
	return append(out, plain(KindString, "In VerneMQ: the monitor of the virtual machine.", ignoredFor(whyErlang), "runtime_health.$name", "runtime_health.$name.$key")...)
}
