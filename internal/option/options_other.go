package option

import "strings"

// httpModuleNames are ours, then VerneMQ's names of the same things, then
// those that are not built yet.
var httpModuleNames = []string{
	"metrics", "health", "status", "api",
	"vmq_metrics_http", "vmq_health_http", "vmq_status_http", "vmq_http_mgmt_api",
	"vmq_http_v2_api", "vmq_http_pub", "vmq_web_ui",
}

// httpModuleAlias translates VerneMQ's names; "" is not built yet.
var httpModuleAlias = map[string]string{
	"vmq_metrics_http": "metrics", "vmq_health_http": "health", "vmq_status_http": "status", "vmq_http_mgmt_api": "api",
	"vmq_http_v2_api": "", "vmq_http_pub": "", "vmq_web_ui": "",
}

// plain makes options that are only known: no bounds, one kind, one reason.
func plain(kind Kind, doc string, change func(*Option), keys ...string) []Option {
	var out []Option
	for _, key := range keys {
		key, value, _ := strings.Cut(key, "=")
		o := Option{Key: key, Kind: kind, Default: value, Hidden: true, Doc: doc}
		change(&o)
		out = append(out, o)
	}
	return out
}

func pendingOn(what string) func(*Option) { return func(o *Option) { o.Pending = what } }

func ignoredFor(reason string) func(*Option) { return func(o *Option) { o.NotApplicable = reason } }

func withSecret(f func(*Option)) func(*Option) {
	return func(o *Option) { f(o); o.Secret = true }
}

// laterOptions are VerneMQ's options of features that are to come. They are
// read as text: their values are judged when there is something to use them.
func laterOptions() []Option {
	later := pendingOn(pendingFeature)
	var out []Option
	add := func(doc string, keys ...string) { out = append(out, plain(KindString, doc, later, keys...)...) }
	out = append(out, plain(KindBool, "Switches a plugin of VerneMQ on.", later, "plugins.vmq_diversity=off", "plugins.vmq_webhooks=off", "plugins.vmq_bridge=off", "plugins.$name=off")...)
	add("The directory of a plugin of one's own.", "plugins.$name.path")
	add("The place of a plugin in the chains.", "plugins.$name.priority")
	add("Lua scripts that decide about clients.", "vmq_diversity.keep_state=off", "vmq_diversity.nr_lua_states=1", "vmq_diversity.script_dir", "vmq_diversity.$script.file")
	out = append(out, databaseOptions(later)...)
	out = append(out, webhookOptions(later)...)
	out = append(out, bridgeOptions(later)...)
	add("Pushes metrics to Graphite; Prometheus can read them at /metrics.", "graphite_enabled=off", "graphite_host=localhost", "graphite_port=2003", "graphite_interval=20000", "graphite_connect_timeout=5000", "graphite_reconnect_timeout=15000", "graphite_prefix", "graphite_include_labels=off")
	out = append(out, plain(KindString, "The key in front of Graphite's paths.", withSecret(later), "graphite_api_key")...)
	add("Publishing over HTTP.", "vmq_http_pub.mqtt_auth.mode=on-behalf-of", "vmq_http_pub.mqtt_auth.auth_plugin=mqtt", "vmq_http_pub.mqtt_auth.user", "vmq_http_pub.mqtt_auth.client_id", "vmq_http_pub.mountpoint")
	out = append(out, plain(KindString, "The password for publishing over HTTP.", withSecret(later), "vmq_http_pub.mqtt_auth.password")...)
	for _, kind := range httpKinds {
		prefix := "listener." + kind + ".$name.http_modules.vmq_http_pub."
		add("Publishing over HTTP through one listener.", prefix+"mountpoint", prefix+"mqtt_auth.auth_plugin", prefix+"mqtt_auth.client_id", prefix+"mqtt_auth.mode", prefix+"mqtt_auth.user")
		out = append(out, plain(KindString, "The password for publishing over HTTP through one listener.", withSecret(later), prefix+"mqtt_auth.password")...)
		add("Whether a module of one listener asks for an API key.", "listener."+kind+".$name.http_module.$module.auth.mode")
	}
	add("Whether an HTTP module asks for an API key: noauth or apikey.", "http_module.vmq_http_mgmt_api.auth.mode=apikey", "http_module.vmq_http_v2_api.auth.mode=apikey", "http_module.vmq_http_pub.auth.mode=apikey", "http_module.$name.auth.mode=noauth")
	add("Rules for API keys.", "min_apikey_length=0", "max_apikey_expiry_days=undefined")
	add("The web interface.", "vmq_web_ui.admin.auth=password", "vmq_web_ui.admin.user_name=admin", "vmq_web_ui.mgmt_api.port", "vmq_web_ui.mgmt_api.scheme", "vmq_web_ui.file_access.allow_read=off", "vmq_web_ui.file_access.allow_write=off")
	out = append(out, plain(KindString, "A secret of the web interface.", withSecret(later), "vmq_web_ui.admin.user_pwd", "vmq_web_ui.mgmt_api.key")...)
	add("Writes the log to syslog; journald and log shippers take it from standard error.", "log.syslog=off", "log.syslog.level=all", "log.syslog.format=rfc3164", "log.syslog.facility=daemon", "log.syslog.app_name", "log.syslog.remote.host", "log.syslog.remote.port=514", "log.syslog.remote.protocol=udp", "log.syslog.remote.tls.cafile")
	return section(sectionLater, out)
}

func databaseOptions(later func(*Option)) []Option {
	var out []Option
	for _, db := range []struct{ name, keys string }{
		{"postgres", "port=5432 user=root database=vernemq_db password_hash_method=crypt ssl=off"},
		{"cockroachdb", "port=5432 user=root database=vernemq_db password_hash_method=bcrypt ssl=on"},
		{"mysql", "port=3306 user=root database=vernemq_db password_hash_method=password"},
		{"mysql2", "port=3306 user=root database=vernemq_db password_hash_method=sha256 ssl=off"},
		{"mongodb", "srv port=27017 login auth_source=admin database w_mode=safe read_preference=primaryPreferred ssl=off ssl.sni"},
		{"redis", "port=6379 user database=0"},
		{"memcache", "port=11211"},
	} {
		prefix := "vmq_diversity." + db.name + "."
		keys := strings.Fields(db.keys)
		keys = append(keys, "host=localhost")
		if db.name != "memcache" {
			keys = append(keys, "pool_size=5")
			auth := "vmq_diversity.auth_" + db.name
			out = append(out, plain(KindString, "Asks "+db.name+" who may connect, publish and subscribe.", later, auth+".enabled=off", auth+".script")...)
			out = append(out, plain(KindString, "The password for "+db.name+".", withSecret(later), prefix+"password")...)
		}
		if strings.Contains(db.keys, "ssl") {
			keys = append(keys, "cafile", "certfile", "keyfile", "ssl.depth=3", "ssl.customize_hostname_check=https", "ssl.verify=verify_peer", "ssl.use_system_cas=on")
		}
		for _, k := range keys {
			out = append(out, plain(KindString, "The connection to "+db.name+".", later, prefix+k)...)
		}
	}
	return out
}

func webhookOptions(later func(*Option)) []Option {
	out := plain(KindString, "Asks an HTTP server at certain events.", later,
		"vmq_webhooks.$name.hook", "vmq_webhooks.$name.endpoint", "vmq_webhooks.$name.base64encode=on", "vmq_webhooks.$name.no_payload=off", "vmq_webhooks.$name.response_timeout=5000",
		"vmq_webhooks.pool_max_connections=100", "vmq_webhooks.pool_timeout=60000", "vmq_webhooks.cafile", "vmq_webhooks.tls_version=tlsv1.2", "vmq_webhooks.verify_peer=on",
		"vmq_webhooks.depth=100", "vmq_webhooks.certfile", "vmq_webhooks.use_crls=true", "vmq_webhooks.keyfile")
	return append(out, plain(KindString, "The pass phrase of vmq_webhooks.keyfile.", withSecret(later), "vmq_webhooks.keyfile_password")...)
}

func bridgeOptions(later func(*Option)) []Option {
	both := "cleansession=off client_id=auto mountpoint keepalive_interval=60 username topic.$topic_id restart_timeout=10 try_private=on mqtt_version=3 max_outgoing_buffered_messages=0 pubrel_queue_ratio=0 outgoing_batch_size=100 persistent_queue=off queue_dir segment_size=4096 inet_version=inet"
	ssl := " cafile capath certfile keyfile insecure=off tls_version=tlsv1.2 identity depth=1 customize_hostname_check=https sni"
	var out []Option
	for _, b := range []struct{ kind, keys string }{{"tcp", both}, {"ssl", both + ssl}} {
		kind, keys := b.kind, b.keys
		prefix := "vmq_bridge." + kind + ".$name"
		out = append(out, plain(KindString, "A bridge to another broker: host:port.", later, prefix)...)
		for _, k := range strings.Fields(keys) {
			out = append(out, plain(KindString, "A setting of a bridge.", later, prefix+"."+k)...)
		}
		secrets := []string{prefix + ".password"}
		if kind == "ssl" {
			secrets = append(secrets, prefix+".psk")
		}
		out = append(out, plain(KindString, "A secret of a bridge.", withSecret(later), secrets...)...)
	}
	return out
}
