package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/topic"
)

func init() { register(newPub) }

// pubFlags are the flags of tombolo pub. Owned by the command.
type pubFlags struct {
	connectFlags
	topic   string
	message string
	file    string
	lines   bool
	stdin   bool
	null    bool
	qos     uint8
	retain  bool
	repeat  int
	delay   seconds
	publish packet.Publish // the message but for its payload
}

const exitCodesHelp = `
Exit codes: 0 done, 1 failed, 2 wrong command line, 3 no broker answered,
4 the broker refused, 5 the time was over, 130 interrupted.`

func newPub() *cobra.Command {
	f := &pubFlags{connectFlags: connectFlags{tool: "pub"}}
	cmd := &cobra.Command{
		Use:   "pub -t TOPIC (-m TEXT | -f FILE | -l | -s | -n)",
		Short: "Publish messages, as mosquitto_pub does",
		Long: `Publish messages to a broker and wait until it has acknowledged them.

Flags are those of mosquitto_pub, except for -D: here it is NAME=VALUE. At QoS
0 nothing is acknowledged; use -q 1 to know that the broker has the message.
` + exitCodesHelp,
		Example: `  tombolo pub -t hello/you -m hi
  tombolo pub -t sensors/7/state -m online -r -q 1            retained
  tombolo pub -t sensors/7/state -r -n                        clears the retained message
  journalctl -f | tombolo pub -t logs/host1 -l                one message a line
  tombolo pub -t cam/1 -f shot.jpg -q 2 -h broker.example --cafile ca.pem -u joe -P secret
  tombolo pub -t t -m '{}' -D content-type=application/json -D user-property=source=shell -D message-expiry-interval=60
  tombolo pub -t ask -m '?' -D response-topic=answers -D correlation-data=17
  tombolo pub -t tick -m x --repeat 10 --repeat-delay 0.5`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVarP(&f.topic, "topic", "t", "", "topic to publish on")
	fl.StringVarP(&f.message, "message", "m", "", "the message")
	fl.StringVarP(&f.file, "file", "f", "", "send the content of a file, - for standard input")
	fl.BoolVarP(&f.lines, "stdin-line", "l", false, "send each line of standard input as a message")
	fl.BoolVarP(&f.stdin, "stdin-file", "s", false, "send all of standard input as one message")
	fl.BoolVarP(&f.null, "null-message", "n", false, "send an empty message")
	fl.Uint8VarP(&f.qos, "qos", "q", 0, "quality of service: 0, 1 or 2")
	fl.BoolVarP(&f.retain, "retain", "r", false, "have the broker keep the message for later subscribers")
	fl.IntVar(&f.repeat, "repeat", 1, "how often to send the message of -m, -f, -s or -n")
	fl.Var(&f.delay, "repeat-delay", "seconds between repetitions")
	f.bind(cmd)
	return cmd
}

func (f *pubFlags) run(cmd *cobra.Command) error {
	cfg, err := f.config(&f.publish.Properties, packet.TypePublish)
	if err != nil {
		return err
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	payload, err := f.payload(cmd)
	if err != nil {
		return err
	}
	return f.withClient(cmd, cfg, func(ctx context.Context, c *client.Client) error {
		if f.lines {
			return f.sendLines(ctx, cmd, c)
		}
		return f.sendRepeated(ctx, cmd, c, payload)
	})
}

// check wants a topic, one source of messages and sane numbers.
func (f *pubFlags) check(cmd *cobra.Command) error {
	if f.topic == "" {
		f.topic = f.urlTopic
	}
	if f.topic == "" {
		return errors.New("no topic: add -t, such as -t hello/you")
	}
	if err := topic.CheckName([]byte(f.topic), 0); err != nil {
		return fmt.Errorf("-t %q: %w; one publishes on a name such as a/b/c", f.topic, err)
	}
	sources := 0
	for _, name := range []string{"message", "file", "stdin-line", "stdin-file", "null-message"} {
		if cmd.Flags().Changed(name) {
			sources++
		}
	}
	switch {
	case sources == 0:
		return errors.New("no message: add -m TEXT, -f FILE, -l or -s for standard input, or -n for an empty one")
	case sources > 1:
		return errors.New("more than one of -m, -f, -l, -s, -n: give one")
	case f.qos > 2:
		return fmt.Errorf("-q %d: QoS is 0, 1 or 2", f.qos)
	case f.repeat < 1:
		return fmt.Errorf("--repeat %d: give 1 or more", f.repeat)
	case f.lines && f.repeat > 1:
		return errors.New("--repeat does not go with -l: each line is sent once")
	}
	f.publish.Topic, f.publish.QoS, f.publish.Retain = []byte(f.topic), f.qos, f.retain
	return nil
}

// payload reads the message of everything but -l.
func (f *pubFlags) payload(cmd *cobra.Command) ([]byte, error) {
	var payload []byte
	var err error
	switch {
	case f.stdin || f.file == "-":
		payload, err = io.ReadAll(cmd.InOrStdin())
	case f.file != "":
		payload, err = os.ReadFile(f.file)
	default:
		payload = []byte(f.message)
	}
	if err != nil {
		return nil, fail(exitEnvironment, fmt.Errorf("reading the message: %w", err))
	}
	return payload, f.checkSize(payload)
}

// checkSize refuses what no packet can hold.
func (f *pubFlags) checkSize(payload []byte) error {
	p := f.publish
	p.Payload = payload
	if packet.PublishSize(packet.V5, &p) > packet.MaxSize {
		return fail(exitUsage, fmt.Errorf("the message has %d bytes; MQTT takes less than %d", len(payload), packet.MaxRemaining))
	}
	return nil
}

func (f *pubFlags) sendRepeated(ctx context.Context, cmd *cobra.Command, c *client.Client, payload []byte) error {
	for i := range f.repeat {
		if i > 0 && f.delay > 0 {
			select {
			case <-time.After(time.Duration(f.delay)):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := f.send(ctx, cmd, c, payload); err != nil {
			return err
		}
	}
	return nil
}

// sendLines reads lines in a goroutine of its own, which cannot be woken from
// standard input: it is left behind when ctx ends, as the process ends then.
func (f *pubFlags) sendLines(ctx context.Context, cmd *cobra.Command, c *client.Client) error {
	lines := make(chan []byte)
	failed := make(chan error, 1)
	go func() {
		in := bufio.NewReader(cmd.InOrStdin())
		for {
			line, err := in.ReadBytes('\n')
			if len(line) > 0 {
				select {
				case lines <- bytes.TrimRight(line, "\r\n"):
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	for {
		select {
		case line := <-lines:
			if err := f.checkSize(line); err != nil {
				return err
			}
			if err := f.send(ctx, cmd, c, line); err != nil {
				return err
			}
		case err := <-failed:
			if err == io.EOF {
				return nil
			}
			return fail(exitEnvironment, fmt.Errorf("reading standard input: %w", err))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (f *pubFlags) send(ctx context.Context, cmd *cobra.Command, c *client.Client, payload []byte) error {
	p := f.publish
	p.Payload = payload
	reason, text, err := c.Publish(ctx, &p)
	if err != nil {
		return err
	}
	f.say(cmd, "published %d bytes on %s, QoS %d, packet %d: %s %s", len(payload), f.topic, p.QoS, p.ID, reason, text)
	if !reason.Failed() {
		return nil
	}
	if text != "" {
		text = " (" + text + ")"
	}
	return fail(exitRefused, fmt.Errorf("the broker did not take the message on %s: %s%s%s",
		f.topic, reason, text, pubRemedy(reason)))
}

func pubRemedy(r packet.ReasonCode) string {
	switch r {
	case packet.NotAuthorized:
		return "; the user may not publish there, see the broker's access rules"
	case packet.QuotaExceeded:
		return "; a queue is full, try again later"
	case packet.PayloadFormatInvalid:
		return "; the payload is not what payload-format-indicator says"
	case packet.ImplementationSpecificError, packet.UnspecifiedError:
		return "; the broker's log says why, perhaps a netsplit"
	}
	return endedRemedy(r)
}
