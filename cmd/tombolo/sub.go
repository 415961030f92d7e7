package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/topic"
)

func init() { register(newSub) }

// subFlags are the flags of tombolo sub. Owned by the command.
type subFlags struct {
	connectFlags
	topics      []string
	filterOut   []string
	unsubscribe []string
	qos         uint8
	count       int
	wait        seconds
	noRetained  bool
	retainedOne bool
	exitEarly   bool
	noLocal     bool
	keepRetain  bool
	printer     printer
	subscribe   packet.Subscribe
}

func newSub() *cobra.Command {
	f := &subFlags{connectFlags: connectFlags{tool: "sub"}}
	cmd := &cobra.Command{
		Use:   "sub -t FILTER [-t FILTER…]",
		Short: "Subscribe and print what comes, as mosquitto_sub does",
		Long: `Subscribe to topic filters and print the messages until interrupted, until -C
messages came, or until -W seconds passed.

Flags are those of mosquitto_sub, except for -D: here it is NAME=VALUE.

Format of -F: %t topic, %p payload, %x %X payload in hexadecimal, %l its length,
%q QoS, %r retain, %m packet id, %d DUP, %j JSON, %J JSON over several lines,
%I time in ISO 8601, %U Unix time; of MQTT 5 %C content type, %D correlation
data, %E message expiry, %F payload format, %R response topic, %S subscription
identifiers, %P user properties; %% a percent sign, \n \t \\ \0 as usual.
` + exitCodesHelp,
		Example: `  tombolo sub -t 'hello/#'
  tombolo sub -t 'sensors/+/state' -v                  topic and payload
  tombolo sub -t '#' --json                            one JSON object a message
  tombolo sub -t '#' --pretty -C 1
  tombolo sub -t a -t b -q 2 -F '%I %t %q %p'
  tombolo sub -t answers -C 1 -W 5                     exit code 5 if none comes
  tombolo sub -t jobs -q 1 -i worker-1 -c --session-expiry 1h
  tombolo sub -t '$share/workers/jobs' -q 1
  tombolo sub -t 'sensors/#' --retained-only -W 2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.bindOwn(cmd)
	f.bind(cmd)
	return cmd
}

func (f *subFlags) bindOwn(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringArrayVarP(&f.topics, "topic", "t", nil, "topic filter, repeatable; quote + and #")
	fl.StringArrayVarP(&f.filterOut, "filter-out", "T", nil, "do not print messages whose topic matches, repeatable")
	fl.StringArrayVarP(&f.unsubscribe, "unsubscribe", "U", nil,
		"unsubscribe this filter, repeatable; alone: do only that, for a session kept with -c")
	fl.Uint8VarP(&f.qos, "qos", "q", 0, "highest quality of service: 0, 1 or 2")
	fl.BoolVarP(&f.printer.verbose, "verbose", "v", false, "print the topic before the payload")
	fl.StringVarP(&f.printer.format, "format", "F", "", "print by this format, see above")
	fl.BoolVar(&f.printer.json, "json", false, "print each message as a JSON object on a line")
	fl.BoolVar(&f.printer.pretty, "pretty", false, "print each message as JSON over several lines")
	fl.BoolVarP(&f.printer.noNewline, "no-newline", "N", false, "no line end after the payload")
	fl.IntVarP(&f.count, "count", "C", 0, "end after so many messages (0: go on)")
	fl.VarP(&f.wait, "wait", "W", "end with exit code 5 after so many seconds")
	fl.BoolVarP(&f.noRetained, "no-retained", "R", false, "print no retained messages")
	fl.BoolVar(&f.retainedOne, "retained-only", false, "print retained messages only, end at the first that is not")
	fl.BoolVarP(&f.exitEarly, "exit-on-suback", "E", false, "end once the broker has taken the subscriptions")
	fl.BoolVar(&f.noLocal, "no-local", false, "not what this client publishes (MQTT 5)")
	fl.BoolVar(&f.keepRetain, "retain-as-published", false, "show the retain flag as the publisher set it (MQTT 5)")
}

func (f *subFlags) run(cmd *cobra.Command) error {
	cfg, err := f.config(&f.subscribe.Properties, packet.TypeSubscribe)
	if err != nil {
		return err
	}
	if err := f.check(cfg.Connect.Version); err != nil {
		return err
	}
	return f.withClient(cmd, cfg, func(ctx context.Context, c *client.Client) error {
		if f.wait > 0 {
			timeout := fail(exitTimeout, nil)
			limited, cancel := context.WithTimeoutCause(ctx, time.Duration(f.wait), timeout)
			defer cancel()
			return f.receive(limited, cmd, c)
		}
		return f.receive(ctx, cmd, c)
	})
}

// check wants filters and flags that go together, and builds the SUBSCRIBE.
func (f *subFlags) check(v packet.Version) error {
	if len(f.topics) == 0 && f.urlTopic != "" {
		f.topics = []string{f.urlTopic}
	}
	switch {
	case len(f.topics) == 0 && len(f.unsubscribe) == 0:
		return errors.New("no topic filter: add -t, such as -t 'hello/#'")
	case f.qos > 2:
		return fmt.Errorf("-q %d: QoS is 0, 1 or 2", f.qos)
	case f.count < 0:
		return fmt.Errorf("-C %d: give a number of messages", f.count)
	case f.noRetained && f.retainedOne:
		return errors.New("-R and --retained-only leave nothing to print: give one")
	case (f.noLocal || f.keepRetain) && v != packet.V5:
		return errors.New("--no-local and --retain-as-published exist since MQTT 5: use -V mqttv5")
	}
	for flag, filters := range map[string][]string{"-T": f.filterOut, "-U": f.unsubscribe, "-t": f.topics} {
		for _, filter := range filters {
			if err := topic.CheckFilter([]byte(filter), 0); err != nil {
				return fmt.Errorf("%s %q: %w; a filter is such as a/b, a/+/c or a/#", flag, filter, err)
			}
		}
	}
	for _, filter := range f.topics {
		s := packet.Subscription{Filter: []byte(filter), QoS: f.qos, RetainAsPublished: f.keepRetain}
		s.NoLocal = f.noLocal && !strings.HasPrefix(filter, "$share/")
		if f.noRetained && v == packet.V5 {
			s.RetainHandling = 2
		}
		f.subscribe.Subscriptions = append(f.subscribe.Subscriptions, s)
	}
	return f.printer.prepare()
}

func (f *subFlags) receive(ctx context.Context, cmd *cobra.Command, c *client.Client) error {
	if err := f.setUp(ctx, cmd, c); err != nil {
		return err
	}
	if f.exitEarly || len(f.topics) == 0 {
		return nil
	}
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	defer out.Flush()
	printed := 0
	for {
		var p *packet.Publish
		var open bool
		select {
		case p, open = <-c.Messages():
		default: // nothing waits: show what there is, then wait
			if err := out.Flush(); err != nil {
				return fail(exitEnvironment, fmt.Errorf("writing to standard output: %w", err))
			}
			select {
			case p, open = <-c.Messages():
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if !open || f.retainedOne && !p.Retain {
			return nil // why the connection ended is for withClient to say
		}
		if f.hidden(p) {
			continue
		}
		f.printer.print(out, p, time.Now())
		if printed++; printed == f.count {
			return nil
		}
	}
}

// setUp subscribes and unsubscribes.
func (f *subFlags) setUp(ctx context.Context, cmd *cobra.Command, c *client.Client) error {
	if len(f.topics) > 0 {
		reasons, err := c.Subscribe(ctx, &f.subscribe)
		if err != nil {
			return err
		}
		if err := f.checkGranted(cmd, reasons); err != nil {
			return err
		}
	}
	if len(f.unsubscribe) == 0 {
		return nil
	}
	u := packet.Unsubscribe{}
	for _, filter := range f.unsubscribe {
		u.Filters = append(u.Filters, []byte(filter))
	}
	reasons, err := c.Unsubscribe(ctx, &u)
	if err != nil {
		return err
	}
	for i, r := range reasons {
		f.say(cmd, "unsubscribed %s: %s", f.unsubscribe[min(i, len(f.unsubscribe)-1)], r)
		if r.Failed() {
			return fail(exitRefused, fmt.Errorf("the broker did not unsubscribe: %s%s", r, endedRemedy(r)))
		}
	}
	return nil
}

// checkGranted reports every refused filter; it fails when none was granted.
func (f *subFlags) checkGranted(cmd *cobra.Command, reasons []packet.ReasonCode) error {
	granted := 0
	for i, r := range reasons {
		if i >= len(f.topics) {
			break
		}
		if !r.Failed() {
			granted++
			f.say(cmd, "subscribed %s: %s", f.topics[i], r)
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "tombolo: the broker refused -t %q: %s%s\n", f.topics[i], r, endedRemedy(r))
	}
	if granted == 0 {
		return fail(exitRefused, errors.New("no subscription was granted; see the broker's access rules"))
	}
	return nil
}

func (f *subFlags) hidden(p *packet.Publish) bool {
	if f.noRetained && p.Retain && !f.keepRetain {
		return true
	}
	for _, filter := range f.filterOut {
		if topic.Matches(topic.Filter(filter), topic.Name(p.Topic)) {
			return true
		}
	}
	return false
}
