package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tombolo/bench"
	"tombolo/mqtt/packet"
)

func init() { register(newBench) }

func newBench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench SCENARIO",
		Short: "Put load on a broker and report what it bore",
		Long: `Put load on any MQTT broker and report rates, latency, and with --pid what the
broker's processes used. Every message is accounted for: sent, received, lost,
duplicated, reordered. The generator measures itself; warnings below the table
say when its figures mean less than they seem to.

At a fixed --rate latency counts from the moment a message was due (corrected
for coordinated omission). With a --window it is the time under full load.
` + exitCodesHelp + `
Messages lost, duplicated or reordered are exit code 1.`,
		Example: `  tombolo bench latency --pid $(pidof mosquitto)
  tombolo bench p2p -q 1 --duration 10s --repeat 5
  tombolo bench fanout --subscribers 500 --payload 4096 --json
  tombolo bench idle --connections 10000 --pid $(pidof tombolo)
  tombolo bench latency --target node1:1883 --target node2:1883 --cross-node
  tombolo bench compare --repeat 3 --html report.html`,
	}
	for _, s := range []struct {
		name  bench.Scenario
		short string
	}{
		{bench.Latency, "Pairs of clients at a fixed rate"},
		{bench.P2P, "Pairs of clients, as fast as their windows allow"},
		{bench.FanIn, "Many publishers, one subscriber"},
		{bench.FanOut, "One publisher, many subscribers"},
		{bench.Shared, "Many publishers, one group of subscribers that share"},
		{bench.Connect, "A storm of connections: rate and time of each"},
		{bench.Idle, "Connections that do nothing: memory for each"},
		{bench.Subscribe, "Many subscriptions: rate and memory for each"},
		{bench.Match, "Messages against many wildcard filters"},
		{bench.Retained, "Set many retained messages, then read all of them"},
		{bench.Offline, "Sessions leave, are queued for, and return"},
		{bench.Migrate, "The same, and they return at another node"},
	} {
		cmd.AddCommand(newBenchScenario(s.name, s.short))
	}
	cmd.AddCommand(newBenchNetsplit(), newBenchCompare(), newBenchAcross(), newBenchQueue(), newBenchReport())
	return cmd
}

// scenarioNotes say how to read a scenario's figures.
var scenarioNotes = map[bench.Scenario]string{
	bench.Latency: ` Use a rate that the broker bears with ease: the figure is then
the time of one message, not of a queue. Latency counts from the moment a
message was due, and the generator's own lag stands below it.`,
	bench.P2P:    ` The window bounds what is in flight for each publisher.`,
	bench.FanIn:  ` The one subscriber's connection is what is measured.`,
	bench.FanOut: ` A message leaves the window when all subscribers have it.`,
	bench.Shared: ` Every message belongs to exactly one member of the group;
the table shows how evenly they share.`,
	bench.Connect: ` Latency counts from CONNECT to CONNACK, with --window handshakes
going on at once; all connections stay until the last one is there.`,
	bench.Subscribe: ` The filters are spread over the subscribers, half of them
with wildcards. Then messages visit them all over: each has one receiver.`,
	bench.Match: ` Every message has exactly one receiver among all filters.`,
	bench.Retained: ` The rate is of setting; then one client subscribes to all.
Latency counts from its SUBSCRIBE. The messages are cleared in the end.`,
	bench.Offline: ` The rate is of queueing; then all sessions return at once.
Latency counts from there. The sessions are removed in the end.`,
	bench.Migrate: ` Every session returns at the next target, so that its queue has
to move there. The rate is of queueing; latency counts from the return.`,
	bench.Idle: ` Start the broker afresh for each run: memory that it used and
kept before hides what connections take. One address allows about 28,000
connections, and a process as many as its limit of descriptors.`,
}

// benchFlags are the flags of one scenario. Owned by the command.
type benchFlags struct {
	cfg      bench.Config
	version  string
	pairs    int
	repeat   int
	broker   string
	caFile   string
	insecure bool
	out      benchOutput
	own      profiling // of this program
	theirs   string    // kind of profile of the broker that was started
}

func newBenchScenario(name bench.Scenario, short string) *cobra.Command {
	f := &benchFlags{cfg: bench.Defaults(name)}
	c := &f.cfg
	cmd := &cobra.Command{
		Use:   string(name),
		Short: short,
		Long:  short + "." + scenarioNotes[name],
		Args:  cobra.NoArgs,
		Example: fmt.Sprintf("  tombolo bench %s --target 127.0.0.1:1883 --pid $(pidof mosquitto)\n  tombolo bench %s --broker mosquitto --repeat 5\n  tombolo bench %s --broker tombolo --html report.html",
			name, name, name),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringArrayVar(&c.Targets, "target", c.Targets, "broker as host:port, or mqtts://, ws://, wss:// and host:port; repeatable for a cluster")
	fl.StringVar(&f.caFile, "cafile", "", "certificate authority of the brokers, for mqtts:// and wss://")
	fl.BoolVar(&f.insecure, "insecure", false, "do not verify the brokers' certificates")
	fl.IntSliceVar(&c.PIDs, "pid", nil, "process of the broker, to measure its CPU and memory; repeatable")
	fl.StringVar(&f.broker, "broker", "", "start this broker for each run and measure it: "+brokerNames())
	fl.IntVar(&f.repeat, "repeat", 1, "runs; the table shows each and their medians")
	f.out.flags(fl)
	f.own.flags(fl)
	fl.StringVar(&f.theirs, "broker-profile", "", "profile of the broker that --broker starts, into --profile-dir: "+profileKinds)
	cmd.MarkFlagsMutuallyExclusive("broker", "target")
	cmd.MarkFlagsMutuallyExclusive("broker", "pid")
	f.bind(fl, name)
	return cmd
}

// bind adds the flags that make up the scenario.
func (f *benchFlags) bind(fl *pflag.FlagSet, name bench.Scenario) {
	c := &f.cfg
	fl.StringVarP(&f.version, "protocol-version", "V", "mqttv311", "mqttv311 or mqttv5; also 311, 5")
	fl.StringVarP(&c.Username, "username", "u", "", "user name of every client")
	fl.StringVarP(&c.Password, "pw", "P", "", "password of every client")
	fl.DurationVar(&c.Duration, "duration", c.Duration, "length of the measured interval")
	fl.DurationVar(&c.WarmUp, "warm-up", c.WarmUp, "load before it; where memory is measured: time to settle")
	fl.DurationVar(&c.KeepAlive, "keepalive", c.KeepAlive, "keep-alive time of every client")
	if name == bench.Idle || name == bench.Connect {
		fl.IntVar(&c.Connections, "connections", c.Connections, "connections to open")
		if name == bench.Connect {
			fl.IntVar(&c.Window, "window", c.Window, "handshakes that go on at once")
		}
		return
	}
	f.bindLoad(fl, name)
}

// bindLoad adds those of the scenarios with messages.
func (f *benchFlags) bindLoad(fl *pflag.FlagSet, name bench.Scenario) {
	c := &f.cfg
	fl.Uint8VarP(&c.QoS, "qos", "q", c.QoS, "quality of service: 0, 1 or 2")
	fl.IntVar(&c.PayloadSize, "payload", c.PayloadSize, "bytes of each message")
	fl.IntVar(&c.Window, "window", c.Window, "messages in flight for each publisher, without --rate")
	if name != bench.Retained && name != bench.Offline && name != bench.Migrate {
		fl.Float64Var(&c.Rate, "rate", c.Rate, "messages published a second in all; 0: as fast as the windows allow")
	}
	fl.DurationVar(&c.Drain, "drain", c.Drain, "how long to wait for late messages, without any coming")
	fl.BoolVar(&c.Cross, "cross-node", false, "with several targets: subscribe on another node than the publisher's")
	switch name {
	case bench.FanIn:
		fl.IntVar(&c.Publishers, "publishers", c.Publishers, "publishers")
		fl.BoolVar(&c.Persistent, "persistent", false, "give the subscriber a session that outlives its connection")
	case bench.FanOut:
		fl.IntVar(&c.Subscribers, "subscribers", c.Subscribers, "subscribers")
	case bench.Latency, bench.P2P:
		fl.IntVar(&f.pairs, "pairs", c.Publishers, "pairs of a publisher and a subscriber")
		fl.BoolVar(&c.Persistent, "persistent", false, "give subscribers a session that outlives their connection")
	case bench.Retained:
		fl.IntVar(&c.Publishers, "publishers", c.Publishers, "publishers that set the messages")
		fl.IntVar(&c.Messages, "messages", c.Messages, "retained messages in all")
	case bench.Offline, bench.Migrate:
		fl.IntVar(&c.Publishers, "publishers", c.Publishers, "publishers that fill the queues")
		fl.IntVar(&c.Subscribers, "sessions", c.Subscribers, "persistent sessions")
		fl.IntVar(&c.Messages, "messages", c.Messages, "messages for each session")
	default:
		fl.IntVar(&c.Publishers, "publishers", c.Publishers, "publishers")
		fl.IntVar(&c.Subscribers, "subscribers", c.Subscribers, "subscribers")
	}
	if name == bench.Subscribe || name == bench.Match {
		fl.IntVar(&c.Filters, "filters", c.Filters, "filters in all")
		fl.IntVar(&c.Wildcards, "wildcards", c.Wildcards, "of a hundred filters")
	}
}

// resolve completes the configuration from its flags and checks it.
func (f *benchFlags) resolve(fl *pflag.FlagSet) error {
	version, err := parseVersion(f.version)
	if err != nil || version == packet.V31 {
		return fmt.Errorf("-V %s: bench speaks mqttv311 and mqttv5", f.version)
	}
	f.cfg.Version = version
	if fl.Changed("pairs") {
		if f.pairs < 1 {
			return fmt.Errorf("--pairs %d: give 1 or more", f.pairs)
		}
		f.cfg.Publishers, f.cfg.Subscribers = f.pairs, f.pairs
	}
	if f.cfg.TLS, err = clientTLS(f.caFile, f.insecure); err != nil {
		return err
	}
	return f.cfg.Check()
}
