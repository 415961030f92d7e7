package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Stop ends the broker and removes what it left. It waits for its processes,
// so that a profile is whole.
func (b *Broker) Stop() error {
	err := b.end(syscall.SIGTERM)
	return errors.Join(err, os.RemoveAll(b.dir))
}

// Restart ends the broker with a signal and starts it again on what it left, at
// the same addresses. It returns when the process has begun: how long it takes until
// it serves is for the caller to find out.
func (b *Broker) Restart(signal syscall.Signal) error {
	if err := b.end(signal); err != nil {
		return err
	}
	return b.run(b.cmd.Path, b.cmd.Env)
}

// end ends the processes and waits for them.
func (b *Broker) end(signal syscall.Signal) error {
	group := b.cmd.Process.Pid
	_ = syscall.Kill(-group, signal) // it may have ended already
	timer := time.NewTimer(stopTimeoutMax)
	defer timer.Stop()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var err error
	for ended := b.ended; err == nil && (ended != nil || alive(group)); {
		select {
		case <-ended:
			ended = nil
		case <-tick.C:
		case <-timer.C:
			err = fmt.Errorf("%s did not end within %v and was killed", b.Command[0], stopTimeoutMax)
			_ = syscall.Kill(-group, syscall.SIGKILL)
		}
	}
	<-b.ended
	for _, pid := range b.strays() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return err
}

// markVariable stands in the environment of what we start, with its directory.
const markVariable = "MQTT_BENCH_DIR"

// strays are processes that left the group, as daemons do: the name service of
// RabbitMQ's runtime stays when all that it served have ended.
func (b *Broker) strays() (pids []int) {
	mark := []byte("\x00" + markVariable + "=" + b.dir + "\x00")
	for _, p := range processes() {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		if err == nil && !p.zombie && bytes.Contains(append([]byte{0}, environ...), mark) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// With starts a broker, runs do, and ends the broker. The error says how a broker
// ended that did so by itself.
func With(ctx context.Context, d Definition, p Profile, do func(*Broker) error) error {
	b, err := Start(ctx, d, p)
	if err != nil {
		return err
	}
	err = do(b)
	if words, ended := b.Ended(); err != nil && ended {
		err = fmt.Errorf("%w; it ended: %s", err, words)
	}
	return errors.Join(err, b.Stop())
}

// Dir is where the broker has its files: {dir} of its definition.
func (b *Broker) Dir() string { return b.dir }

// endMax is how long a broken connection may come before its broker's end.
const endMax = 200 * time.Millisecond

// Ended reports whether the broker is no more, and what it said last. It
// waits a moment, because connections break before the process is gone.
func (b *Broker) Ended() (words string, ended bool) {
	timer := time.NewTimer(endMax)
	defer timer.Stop()
	select {
	case <-b.ended:
		return b.lastWords(), true
	case <-timer.C:
		return "", false
	}
}

// process is what /proc tells of one.
type process struct {
	pid, parent, group int
	zombie             bool
}

// processes lists those of this machine; without /proc there are none.
func processes() (list []process) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		// The name in brackets may hold spaces; fields count from behind it.
		text := string(stat)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(fields) < 3 {
			continue
		}
		p := process{pid: pid, zombie: fields[0] == "Z"}
		p.parent, _ = strconv.Atoi(fields[1])
		p.group, _ = strconv.Atoi(fields[2])
		list = append(list, p)
	}
	return list
}

// alive reports whether a process of the group still runs.
func alive(group int) bool {
	for _, p := range processes() {
		if p.group == group && !p.zombie {
			return true
		}
	}
	return false
}

// PIDs are the process and its descendants.
func (b *Broker) PIDs() []int {
	children := map[int][]int{}
	for _, p := range processes() {
		if !p.zombie {
			children[p.parent] = append(children[p.parent], p.pid)
		}
	}
	pids := []int{b.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids
}
