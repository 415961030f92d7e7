package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// MQTTPort is where the brokers of a laboratory take clients.
const MQTTPort = 1883

// Broker is one tombolo on a host, with a directory of its own that outlives the
// process. Its methods belong to one goroutine, but for those that say more.
type Broker struct {
	Host    *Host
	Binary  string            // the program
	Dir     string            // configuration, data, log
	Options map[string]string // of the configuration file
	Wrap    []string          // a command that the program is started under
	Base    string            // a configuration file that Options stand above; "" for none

	small   bool // its data are on a small disk of their own
	frozen  bool // and cannot be asked
	process *Process
	log     *keeper
}

// keeper keeps the last of what a process writes. Safe for concurrent use.
type keeper struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// keptMax bounds what is kept of a log.
const keptMax = 4 << 20

func (k *keeper) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.text.Len() > keptMax {
		k.text.Next(keptMax / 2)
	}
	return k.text.Write(p)
}

// Address is where clients find the broker.
func (b *Broker) Address() string { return netip.AddrPortFrom(b.Host.Addr(), MQTTPort).String() }

// Log is what the process has written, of all its starts; safe for concurrent
// use.
func (b *Broker) Log() string {
	if b.log == nil {
		return ""
	}
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	return b.log.text.String()
}

// Config writes the configuration file and returns its path.
func (b *Broker) Config() (string, error) {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(b.Options)) {
		fmt.Fprintf(&text, "%s = %s\n", k, b.Options[k])
	}
	path := filepath.Join(b.Dir, "tombolo.conf")
	if err := os.MkdirAll(b.Dir, 0o700); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// Start starts the process and waits until it says that it is ready.
func (b *Broker) Start(ctx context.Context) error {
	path, err := b.Config()
	if err != nil {
		return err
	}
	if b.log == nil {
		b.log = &keeper{}
	}
	b.frozen = false
	args := append(slices.Clone(b.Wrap), b.Binary, "start")
	if b.Base != "" {
		args = append(args, "--config", b.Base)
	}
	args = append(args, "--config", path)
	cmd := exec.Command(args[0], args[1:]...)
	if cmd.Stderr = b.log; b.Base == "" { // relative paths in a file of the operator's are his
		cmd.Dir = b.Dir
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if b.process, err = b.Host.Start(cmd); err != nil {
		return err
	}
	ready := make(chan struct{})
	go func() {
		for lines, said := bufio.NewScanner(out), false; lines.Scan(); {
			fmt.Fprintln(b.log, lines.Text())
			if !said && strings.Contains(lines.Text(), " is ready") {
				said = true
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
		return nil
	case <-b.process.Done():
		return fmt.Errorf("lab: the broker on %s ended at its start: %s", b.Host.Addr(), lastLines(b.Log(), 10))
	case <-ctx.Done():
		return fmt.Errorf("lab: the broker on %s is not ready: %w: %s", b.Host.Addr(), context.Cause(ctx), lastLines(b.Log(), 10))
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Running says whether there is a process that has not ended.
func (b *Broker) Running() bool {
	if b.process == nil {
		return false
	}
	select {
	case <-b.process.Done():
		return false
	default:
		return true
	}
}

// Kill ends the process as kill -9 does; none is no fault.
func (b *Broker) Kill() {
	if b.process != nil {
		b.process.Kill()
	}
}

// Stop ends the process as systemd does, and waits.
func (b *Broker) Stop(ctx context.Context) error {
	if err := b.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-b.process.Done():
		return b.process.Wait()
	case <-ctx.Done():
		return fmt.Errorf("lab: the broker on %s does not stop: %w", b.Host.Addr(), context.Cause(ctx))
	}
}

// Freeze stops the process from running; Thaw lets it go on.
func (b *Broker) Freeze() error {
	b.frozen = true
	return b.process.Signal(syscall.SIGSTOP)
}

// SetClock sets the wall clock of the process wrong, now and for its next starts.
// One that is frozen, or not there, learns of it with its next start.
func (b *Broker) SetClock(ctx context.Context, by time.Duration) error {
	b.Options[clockOption] = strconv.FormatInt(int64(by/time.Second), 10)
	if !b.Running() || b.frozen {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return b.Set(ctx, clockOption, b.Options[clockOption])
}

// clockOption sets a wall clock wrong.
const clockOption = "cluster.rehearsal_clock"

// Thaw ends Freeze.
func (b *Broker) Thaw() error {
	b.frozen = false
	return b.process.Signal(syscall.SIGCONT)
}

// Pid is the id of the process.
func (b *Broker) Pid() int { return b.process.Pid() }

// Tool runs a subcommand of tombolo on the broker's host, with its
// configuration; safe for concurrent use.
func (b *Broker) Tool(ctx context.Context, args ...string) (string, error) {
	full := append([]string{"netns", "exec", b.Host.Namespace(), b.Binary}, args...)
	cmd := exec.CommandContext(ctx, "ip", full...)
	cmd.Dir = b.Dir
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), errors.Join(err, errors.New(strings.TrimSpace(errs.String())))
	}
	return out.String(), nil
}
