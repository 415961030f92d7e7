package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

// Times of cluster leave: between two questions how far it is, and for one; and
// at the end.
const (
	leaveLook = 500 * time.Millisecond
	leaveAsk  = 15 * time.Second
	leaveEnds = 10 * time.Second // for the process to answer no more, once it has left
	leaveStop = 50 * time.Millisecond
)

// leaveFlags are the flags of cluster leave. Owned by the one run of it.
type leaveFlags struct {
	node          string
	kill          bool
	abort, status bool
	timeout       secondsFlag
	interval      secondsFlag
}

// secondsFlag is a time in VerneMQ's form, whole seconds, or in Go's.
type secondsFlag time.Duration

// String implements pflag.Value.
func (s *secondsFlag) String() string { return strconv.Itoa(int(time.Duration(*s) / time.Second)) }

// Type implements pflag.Value.
func (s *secondsFlag) Type() string { return "seconds" }

// Set implements pflag.Value.
func (s *secondsFlag) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, e := strconv.Atoi(text); e == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > 7*24*time.Hour {
		return errors.New("give seconds, such as 60, at most a week")
	}
	*s = secondsFlag(d)
	return nil
}

func newClusterLeave() *cobra.Command {
	f := &apiFlags{timeout: 365 * 24 * time.Hour} // each question has a limit of its own
	l := &leaveFlags{timeout: secondsFlag(time.Minute), interval: secondsFlag(5 * time.Second)}
	c := &cobra.Command{
		Use:   "leave",
		Short: "Take a node out of the cluster for good, with all that it holds",
		Long: `Leave takes the node that is asked, or --node, out of the cluster without losing
anything that it holds. To stop a node for a while just stop it: that never
changes the membership.

Without -k the listeners of the node close, and nothing else: sessions live on.
With -k its clients are disconnected as well (MQTT 5: 0x9D, server moved). They
connect to other nodes, and their sessions and queues follow them. After the
timeout, or when all of them have, what is left is moved by force: each session
goes to one of the other members, with its queue. When nothing is left the node is
taken out of the member set and its process ends with exit code 0.

A line is printed each interval. Ctrl-C ends the command only; the node goes on,
through a restart as well, until --abort has it stay. What has moved by then stays
where it is. A dead node does not leave; see tombolo cluster remove.`,
		Example: `  tombolo cluster leave
  tombolo cluster leave -k -t 120
  tombolo cluster leave -k --node node3
  tombolo cluster leave --abort`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.ask(c, func(a *asker) error { return l.run(a) }) },
	}
	f.bindWhere(c)
	c.Flags().StringVar(&l.node, "node", "", "the member that is to leave instead of the one that is asked")
	c.Flags().BoolVarP(&l.kill, "kill_sessions", "k", false, "disconnect the clients, and go on to the end")
	c.Flags().VarP(&l.timeout, "timeout", "t", "how long clients have to connect to other nodes before what is left is moved")
	c.Flags().VarP(&l.interval, "summary-interval", "i", "how often a line tells how far it is")
	c.Flags().BoolVar(&l.abort, "abort", false, "have a node that leaves stay")
	c.Flags().BoolVar(&l.status, "status", false, "only tell how far it is")
	c.MarkFlagsMutuallyExclusive("kill_sessions", "abort", "status")
	return c
}

func (l *leaveFlags) run(a *asker) error {
	var p admin.LeaveProgress
	switch {
	case l.abort:
		if err := l.do(a, "DELETE", nil, nil); err != nil {
			return err
		}
		return a.said()
	case l.status:
		if err := l.do(a, "GET", nil, &p); err != nil {
			return err
		}
		return l.say(a, &p)
	}
	seconds := int(time.Duration(l.timeout) / time.Second)
	if err := l.do(a, "POST", admin.LeaveOrder{KillSessions: l.kill, TimeoutSeconds: &seconds}, &p); err != nil {
		return err
	}
	return l.follow(a, p)
}

// do puts one request to the node that is to leave.
func (l *leaveFlags) do(a *asker, method string, body, out any) error {
	one := *a
	var cancel context.CancelFunc
	one.ctx, cancel = context.WithTimeout(a.ctx, leaveAsk)
	defer cancel()
	q := url.Values{}
	if l.node != "" {
		q.Set("on", l.node)
	}
	return one.do(method, "/api/v1/cluster/leave", q, body, out)
}

// follow tells how far it is until the node has left, or its listeners are closed
// and no more was asked for.
func (l *leaveFlags) follow(a *asker, p admin.LeaveProgress) error {
	look := time.NewTicker(leaveLook)
	defer look.Stop()
	said, heard := time.Time{}, time.Now()
	for {
		over := p.Phase == "gone" || !l.kill && p.Phase == "listeners closed"
		if over || time.Since(said) >= time.Duration(l.interval) {
			said = time.Now()
			if err := l.say(a, &p); err != nil {
				return err
			}
		}
		switch {
		case over:
			if p.Phase == "gone" && l.node == "" {
				l.outlive(a)
			}
			return l.conclude(a, &p)
		case !p.Leaving:
			return fail(exitFailure, errors.New("leaving was aborted"))
		}
		select {
		case <-look.C:
		case <-a.ctx.Done():
			fmt.Fprintln(a.errs, "The node goes on leaving. Look with: tombolo cluster leave --status; have it stay with: tombolo cluster leave --abort")
			return a.ctx.Err()
		}
		var next admin.LeaveProgress
		err := l.do(a, "GET", nil, &next)
		switch {
		case err == nil:
			p, heard = next, time.Now()
		case a.ctx.Err() != nil:
		case p.Phase == "removal" || l.node != "" && noMember(err):
			p.Phase = "gone" // it has ended before it could say so
		case l.node != "" && time.Since(heard) < leaveAsk:
		default:
			return fmt.Errorf("the node cannot be asked any more; when it runs again it goes on leaving: %w", err)
		}
	}
}

// outlive waits until the node that has left answers no more: started again before
// that, it would find its data directory in use.
func (l *leaveFlags) outlive(a *asker) {
	one := *a
	var cancel context.CancelFunc
	one.ctx, cancel = context.WithTimeout(a.ctx, leaveEnds)
	defer cancel()
	look := time.NewTicker(leaveStop)
	defer look.Stop()
	for {
		var p admin.LeaveProgress
		if l.do(&one, "GET", nil, &p) != nil {
			return
		}
		select {
		case <-look.C:
		case <-one.ctx.Done():
			return
		}
	}
}

// noMember says that another member does not know the node any more.
func noMember(err error) bool {
	var answer *admin.Error
	return errors.As(err, &answer) && answer.Status == http.StatusNotFound
}

// say prints how far it is.
func (l *leaveFlags) say(a *asker, p *admin.LeaveProgress) error {
	if a.flags.json {
		return json.NewEncoder(a.out).Encode(p) // one line each, for programs that follow
	}
	if !p.Leaving && p.Phase == "" {
		_, err := fmt.Fprintln(a.out, "The node does not leave its cluster")
		return err
	}
	text := fmt.Sprintf("%s: %d clients connected, %d sessions and %d messages left", p.Phase, p.Online, p.Sessions, p.Messages)
	if p.Phase == "clients reconnect" {
		text += fmt.Sprintf(", moved by force in %s at the latest", max(time.Until(p.Deadline), 0).Round(time.Second))
	}
	if p.Trouble != "" {
		text += "; waits: " + p.Trouble
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}

func (l *leaveFlags) conclude(a *asker, p *admin.LeaveProgress) error {
	if a.flags.json {
		return nil
	}
	if p.Phase != "gone" {
		_, err := fmt.Fprintln(a.out, "The listeners are closed, and sessions live on. Go on with: tombolo cluster leave -k; or stay with: tombolo cluster leave --abort")
		return err
	}
	_, err := fmt.Fprintln(a.out, "Done: the node has left the cluster and ends. Its data directory can be moved away")
	return err
}
