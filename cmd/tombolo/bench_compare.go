package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tombolo/bench"
	"tombolo/bench/compare"
	"tombolo/bench/peer"
	"tombolo/bench/report"
)

// compareFlags are those of bench compare. Owned by the command.
type compareFlags struct {
	brokers []string
	runs    []string
	suite   string
	repeat  int
	stay    bool
	out     benchOutput
	profile profiling
}

func newBenchCompare() *cobra.Command {
	f := &compareFlags{}
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Run the same scenarios in turn on several brokers",
		Long: `Run the same scenarios in turn on this broker and on others that are installed.
Each run starts its broker afresh, on a free port, with its data in a temporary
directory, and ends it; nothing else on this machine is touched. The brokers
take turns, so that what the machine does beside falls on all of them. The table
shows medians with the least and the most, and the ratio to the first broker.

Brokers: ` + brokerNames() + `.
Such a file:

  {"name": "flashmq", "command": ["flashmq", "--config-file", "{dir}/f.conf"],
   "files": {"f.conf": "allow_anonymous true\nlisten {\n port {port}\n}\n"},
   "version": ["flashmq", "--version"], "settings": "as its package has it"}

{port} is where it has to listen, {port2} and {port3} are free as well, {dir} is
its own directory; "environment" is possible too, and "certificate": true puts
cert.pem and key.pem into {dir}, for "targets": ["mqtts://127.0.0.1:{port}"]. Without --broker it takes all
that are installed, except RabbitMQ.

The full suite runs what is small, latency and lone messages, five times when the
rest is run three times, and each row on the brokers that its figure is held against.

With --stay the brokers are started once and are all up during all runs. From six
runs on the ratio of processor time is also taken run by run: its median and the
interval in which it lies with a probability of 95 %.

Take the figures of a machine that does nothing else; on a busy one only the
ratios mean something. The generator runs on the same processors. Interrupted, it
prints what it has.`,
		Example: `  tombolo bench compare
  tombolo bench compare --broker mosquitto --broker tombolo --repeat 5 --html report.html
  tombolo bench compare --run 'p2p -q 1' --run 'fanout --payload 4096' --json
  tombolo bench compare --stay --repeat 20 --run 'latency --pairs 50 --warm-up 500ms --duration 3s'
  tombolo bench compare --suite full --repeat 3 --html report.html
  tombolo bench compare --broker tombolo --run p2p --profile cpu --profile-dir profiles`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringArrayVar(&f.brokers, "broker", nil, "broker to compare, repeatable; ratios are to the first")
	fl.StringArrayVar(&f.runs, "run", nil, "scenario with its flags, as after tombolo bench; repeatable")
	fl.StringVar(&f.suite, "suite", "quick", "without --run: quick or full")
	fl.IntVar(&f.repeat, "repeat", 1, "runs of each scenario on each broker")
	fl.BoolVar(&f.stay, "stay", false, "start each broker once and let all stay up: for many short runs in turns")
	f.out.flags(fl)
	f.profile.flags(fl)
	fl.Lookup("profile").Usage = "have each broker that can write a profile: " + profileKinds
	fl.Lookup("profile-dir").Usage = "directory of the profiles"
	return cmd
}

func (f *compareFlags) config() (compare.Config, error) {
	cfg := compare.Config{Repeat: f.repeat, Stay: f.stay}
	if err := f.profile.check(); err != nil {
		return cfg, err
	}
	dir, err := filepath.Abs(f.profile.dir)
	if err != nil {
		return cfg, fail(exitEnvironment, err)
	}
	cfg.Profile = peer.Profile{Kind: f.profile.kind, Dir: dir}
	if cfg.Brokers, err = f.definitions(); err != nil {
		return cfg, err
	}
	specs := f.runs
	if len(specs) == 0 {
		cfg.Scenarios, err = suite(f.suite, len(f.brokers) > 0, cfg.Brokers, f.repeat)
		return cfg, err
	}
	for _, spec := range specs {
		c, err := parseScenario(spec)
		if err != nil {
			return cfg, fmt.Errorf("--run %q: %w", spec, err)
		}
		cfg.Scenarios = append(cfg.Scenarios, compare.Scenario{Name: spec, Config: c})
	}
	return cfg, nil
}

// definitions are the brokers that were named, or those that are installed.
func (f *compareFlags) definitions() (list []peer.Definition, err error) {
	for _, name := range f.brokers {
		d, err := findBroker(name)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	if len(f.brokers) > 0 {
		return list, nil
	}
	for _, name := range usual(f.suite == "full" && len(f.runs) == 0) {
		if d, err := findBroker(name); err == nil {
			list = append(list, d)
		}
	}
	return list, nil
}

// parseScenario reads what would stand behind tombolo bench.
func parseScenario(spec string) (bench.Config, error) {
	words := strings.Fields(spec)
	if len(words) == 0 || !slices.Contains(bench.Scenarios(), bench.Scenario(words[0])) {
		return bench.Config{}, fmt.Errorf("it must begin with one of %v", bench.Scenarios())
	}
	name := bench.Scenario(words[0])
	f := &benchFlags{cfg: bench.Defaults(name)}
	fl := pflag.NewFlagSet(words[0], pflag.ContinueOnError)
	fl.SetOutput(io.Discard)
	fl.Usage = func() {}
	f.bind(fl, name)
	if err := fl.Parse(words[1:]); err != nil {
		return f.cfg, err
	}
	if fl.NArg() > 0 {
		return f.cfg, fmt.Errorf("%q is not a flag", fl.Arg(0))
	}
	return f.cfg, f.resolve(fl)
}

func (f *compareFlags) run(cmd *cobra.Command) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	if f.repeat < 1 {
		return fmt.Errorf("--repeat %d: give 1 or more", f.repeat)
	}
	cfg.Command = typed(cmd)
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var v *view
	run := 0
	cfg.Tick = func(p compare.Progress) {
		if p.Run != run {
			if v != nil {
				v.clear()
			}
			run = p.Run
			v = f.out.view(cmd.ErrOrStderr(), fmt.Sprintf("%d/%d  %s  %s", p.Run, p.Runs, p.Broker, p.Scenario))
		}
		v.show(p.Progress)
	}
	c, err := compare.Run(ctx, cfg)
	if v != nil {
		v.clear()
	}
	if c == nil {
		return explainBench(ctx, err)
	}
	// A comparison takes long: what an interrupted one has is worth keeping.
	stamp(&c.Machine)
	if written := f.write(cmd.OutOrStdout(), c); err == nil {
		return written
	}
	return explainBench(ctx, err)
}

func (f *compareFlags) write(w io.Writer, c *compare.Comparison) error {
	print := report.WriteComparison
	if f.out.json {
		print = func(w io.Writer, c *compare.Comparison) error { return json.NewEncoder(w).Encode(c) }
	}
	if err := print(w, c); err != nil {
		return fail(exitEnvironment, err)
	}
	if err := f.out.page(func(w io.Writer) error { return report.WriteComparisonHTML(w, c) }); err != nil {
		return err
	}
	for _, row := range c.Rows {
		for _, cell := range row.Cells {
			if len(cell.Results) > 0 {
				return nil
			}
		}
	}
	return fail(exitFailure, errors.New("no run came to an end: see why above"))
}

// typed is the command as it was typed, without the program's path.
func typed(cmd *cobra.Command) string {
	words := []string{cmd.CommandPath()}
	cmd.Flags().Visit(func(fl *pflag.Flag) {
		values := []string{fl.Value.String()}
		if list, ok := fl.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			if strings.Contains(v, " ") {
				v = "'" + v + "'"
			}
			words = append(words, "--"+fl.Name+"="+v)
		}
	})
	return strings.Join(words, " ")
}
