package option

func storageOptions() []Option {
	return section(sectionStorage, []Option{
		{Key: "durability", Kind: KindEnum, Values: []string{"fsync", "os", "memory"}, Default: "fsync", Since: "0.1",
			Doc: "What must have happened to a QoS 1 or 2 message before its publisher is answered. fsync: it is on the disk and survives a power loss. os: the operating system has it; it survives a kill of the process, not a power loss. memory: messages are never written; a restart loses them, sessions and subscriptions remain."},
		{Key: "leveldb.maximum_memory", Kind: KindBytes, Hidden: true, Min: 16 << 20, Max: 1 << 50,
			Doc:  "The memory that both databases, metadata and messages, may take together for caches and buffers: a quarter each for the metadata, the rest for the messages, split again into write buffers and block cache. Unset, leveldb.maximum_memory.percent decides.",
			More: "More saves disk reads with large backlogs and many sessions; less leaves memory to connections."},
		{Key: "leveldb.maximum_memory.percent", Kind: KindInt, Unit: "percent", Default: "15", Min: 1, Max: 90,
			Doc:  "The same as a share of the memory that the process may use (of the control group if there is one, else of the machine), when leveldb.maximum_memory is not set. VerneMQ's default is 70.",
			More: "More saves disk reads; less leaves memory to connections, which need about 5 KB each."},
		{Key: "leveldb.compression", Kind: KindBool, Default: "on",
			Doc: "Compresses what is stored with snappy. off saves CPU when payloads are compressed already."},
		{Key: "leveldb.sync_on_write", Kind: KindBool, Default: "off", Hidden: true,
			NotApplicable: "durability says what is synced: fsync, the default, is safer than this option's off, and os is what off means",
			Doc:           "In VerneMQ: fsync after each write."},
	})
}

func telemetryOptions() []Option {
	return section(sectionTelemetry, []Option{
		{Key: "systree_enabled", Kind: KindBool, Default: "on", Reloadable: true,
			Doc: "Publishes the metrics under $SYS/<nodename>/."},
		{Key: "systree_interval", Kind: KindDuration, Unit: "ms", Default: "20000", Min: 0, Max: 86400 * seconds, Reloadable: true,
			Doc:  "How often they are published.",
			More: "More saves work; less shows changes sooner. The cost is one message a metric each time.",
			Zero: "0 publishes none, as systree_enabled = off does. (VerneMQ would loop without a pause.)"},
		{Key: "systree_mountpoint", Kind: KindString, Hidden: true,
			Doc: "The mountpoint in whose topic tree $SYS stands. Empty is that of listeners without a mountpoint."},
		{Key: "systree_qos", Kind: KindInt, Default: "0", Min: 0, Max: 2, Hidden: true,
			Doc:  "The QoS of $SYS messages.",
			More: "More stores them for persistent sessions, which is rarely wanted for figures that come again.",
			Zero: "0 is at most once."},
		{Key: "systree_retain", Kind: KindBool, Default: "off", Hidden: true,
			Doc: "Publishes $SYS messages as retained, so that a new subscriber sees the last figures at once."},
		{Key: "http_modules", Kind: KindList, Default: "metrics,health,status,api", Values: httpModuleNames, Hidden: true,
			Doc: "What every http and https listener without a list of its own serves: metrics (/metrics), health (/health, /ready), status, api (/api/v1). VerneMQ's names of them are understood."},
		{Key: "prometheus_namespace", Kind: KindString, Default: "tombolo_",
			Doc: "The prefix of every metric name at /metrics. VerneMQ's is vernemq_; the two-quote value \"\" means no prefix."},
	})
}

func logOptions() []Option {
	infiniteSize := []Word{{"infinity", 0}}
	rotation := func(sink string) []Option {
		return []Option{
			{Key: "log." + sink + ".rotation.size", Kind: KindBytes, Default: "infinity", Words: infiniteSize, Min: 4096, Max: 1 << 50,
				Doc: "The size at which the file gives way to a new one; infinity never rotates. On SIGHUP files are opened anew by name, so that logrotate can do it instead.", More: "More keeps files together; less keeps them small."},
			{Key: "log." + sink + ".rotation.keep", Kind: KindInt, Unit: "files", Default: "5", Min: 0, Max: 10000,
				Doc: "How many rotated files stay.", More: "More reaches further back; less saves disk: about size × (keep + 1).", Zero: "0 keeps none."},
			{Key: "log." + sink + ".rotation.compress_on_rotate", Kind: KindBool, Default: "off",
				Doc: "Compresses rotated files with gzip."},
		}
	}
	console := []Option{
		{Key: "log.console", Kind: KindEnum, Values: []string{"off", "file", "console", "both"}, Default: "console",
			Doc: "Where the log goes: to standard error (console), to log.console.file (file), to both, or nowhere. VerneMQ's default is file."},
		{Key: "log.console.level", Kind: KindEnum, Values: logLevels, Default: "info", Reloadable: true,
			Doc: "The lowest level that is written, for every subsystem without a log.level.<subsystem> of its own."},
		{Key: "log.level.$subsystem", Kind: KindEnum, Values: logLevels, Default: "info", Reloadable: true, Since: "0.1", Example: "debug",
			Doc: "The lowest level of one subsystem, as named in the sys field of its lines (mqtt, conn, queue, metadata, auth, admin, …). Where it is not set, log.console.level counts."},
		{Key: "log.console.file", Kind: KindOutput, Default: "./log/console.log",
			Doc: "The file of the main log."},
		{Key: "log.console.console.format", Kind: KindEnum, Values: []string{"text", "json"}, Default: "text",
			Doc: "The format on standard error. json: one object a line with level, msg, time (microseconds since 1970), sys and what belongs to the event."},
		{Key: "log.console.file.format", Kind: KindEnum, Values: []string{"text", "json"}, Default: "text",
			Doc: "The format in the file."},
	}
	errorLog := []Option{
		{Key: "log.error", Kind: KindBool, Default: "off",
			Doc: "Writes lines at level error and above once more into a file of their own. VerneMQ's default is on."},
		{Key: "log.error.file", Kind: KindOutput, Default: "./log/error.log", Doc: "That file."},
		{Key: "log.error.file.format", Kind: KindEnum, Values: []string{"text", "json"}, Default: "text", Doc: "Its format."},
		{Key: "log.level", Kind: KindEnum, Values: []string{"all", "debug", "info", "warning", "error"}, Default: "all", Hidden: true,
			Doc: "The lowest level that any subsystem writes, whatever its own says; all leaves it to log.console.level."},
		{Key: "logging.keepalive_as_warning", Kind: KindBool, Default: "on", Reloadable: true,
			Doc: "Logs the end of a client's keep alive as a warning (on) or as information (off)."},
	}
	all := append(append(console, rotation("console")...), append(errorLog, rotation("error")...)...)
	return section(sectionLog, all)
}

func securityOptions() []Option {
	return section(sectionSecurity, []Option{
		{Key: "allow_anonymous", Kind: KindBool, Default: "off", Reloadable: true,
			Doc: "Lets everyone connect without asking the authenticators. Publishing and subscribing are still authorised. For tests and closed networks only."},
		{Key: "plugins.vmq_passwd", Kind: KindBool, Default: "on", Doc: "Asks the password file who may connect."},
		{Key: "plugins.vmq_acl", Kind: KindBool, Default: "on", Doc: "Asks the ACL file who may publish and subscribe. With it off and nothing else to ask, all is refused."},
		{Key: "vmq_passwd.password_file", Kind: KindFile, Default: "./etc/tombolo.passwd", Reloadable: true,
			Doc: "The password file; tombolo passwd writes it. VerneMQ's and Mosquitto's hashes are read. A file that does not exist counts as empty."},
		{Key: "vmq_passwd.password_reload_interval", Kind: KindDuration, Unit: "s", Default: "10", Min: 0, Max: 31536000 * seconds, Reloadable: true,
			Doc: "How often the file is looked at for changes; SIGHUP does it at once.", More: "More looks more rarely; less lets a new password in sooner.", Zero: "0 never looks again."},
		{Key: "vmq_acl.acl_file", Kind: KindFile, Default: "./etc/tombolo.acl", Reloadable: true,
			Doc: "The ACL file, in VerneMQ's grammar (topic, user and pattern lines)."},
		{Key: "vmq_acl.acl_reload_interval", Kind: KindDuration, Unit: "s", Default: "10", Min: 0, Max: 31536000 * seconds, Reloadable: true,
			Doc: "How often the file is looked at for changes; SIGHUP does it at once.", More: "More looks more rarely; less applies a change sooner.", Zero: "0 never looks again."},
		{Key: "crl_refresh_interval", Kind: KindDuration, Unit: "ms", Default: "60000", Min: 0, Max: 31536000 * seconds, Hidden: true,
			Doc: "How often the crlfile of listeners is read again.", More: "More reads more rarely; less honours a revocation sooner.", Zero: "0 never reads it again."},
	})
}
