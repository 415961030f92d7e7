package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tombolo/internal/certificate"
	"tombolo/internal/freeport"
	"tombolo/mqtt/packet"
)

const (
	startTimeoutMax = 60 * time.Second // RabbitMQ on a busy machine
	stopTimeoutMax  = 20 * time.Second
	probeEvery      = 20 * time.Millisecond
	probeTimeoutMax = 2 * time.Second
	clusterPorts    = 50 // that three nodes of this program take, from their first on
)

// Broker is a running broker. Owned by who started it.
type Broker struct {
	Address string      // the first target
	Targets []string    // all nodes
	TLS     *tls.Config // how to speak to it over TLS; nil if it has a certificate that can be verified, or none
	Command []string    // as it was started
	ready   string
	cmd     *exec.Cmd
	dir     string
	output  string // file of what it printed
	ended   chan struct{}
}

// Profile asks for a profile of the broker. The zero value is none.
type Profile struct {
	Kind string
	Dir  string
}

// Start starts a broker and waits until it answers. The caller stops it.
func Start(ctx context.Context, d Definition, p Profile) (*Broker, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	var reason error
	for range 3 { // another process may take a port between our look and the start
		b, err := start(ctx, &d, p)
		if err == nil {
			return b, nil
		}
		if reason = fmt.Errorf("starting %s: %w", d.Name, err); ctx.Err() != nil || errors.Is(err, errMissing) {
			break
		}
	}
	return nil, reason
}

var errMissing = errors.New("it is not installed")

func start(ctx context.Context, d *Definition, p Profile) (*Broker, error) {
	path := find(d.Command[0])
	if path == "" {
		return nil, fmt.Errorf("%s: %w", d.Command[0], errMissing)
	}
	dir, err := os.MkdirTemp("", "tombolo-bench-"+filepath.Base(d.Name)+"-")
	if err != nil {
		return nil, err
	}
	b := &Broker{dir: dir, output: filepath.Join(dir, "output.log")}
	if err := b.launch(d, path, p); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := b.answers(ctx); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

// launch writes the files and begins the process.
func (b *Broker) launch(d *Definition, path string, p Profile) error {
	port, err := freeport.Find(clusterPorts + 2)
	if err != nil {
		return err
	}
	text := func(n int) string { return strconv.Itoa(port + n) }
	fill := strings.NewReplacer("{port}", text(0), "{port+1}", text(1), "{port+2}", text(2),
		"{port2}", text(clusterPorts), "{port3}", text(clusterPorts+1), "{dir}", b.dir, "{kind}", p.Kind, "{profile}", p.Dir)
	for name, content := range d.Files {
		file := filepath.Join(b.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(fill.Replace(content)), 0o600); err != nil {
			return err
		}
	}
	if d.Certificate {
		pair, err := certificate.New("broker")
		if err != nil {
			return err
		}
		if err := pair.Write(filepath.Join(b.dir, "cert.pem"), filepath.Join(b.dir, "key.pem")); err != nil {
			return err
		}
		b.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	arguments := d.Command[1:]
	if p.Kind != "" {
		arguments = append(arguments[:len(arguments):len(arguments)], d.Profile...)
	}
	b.Command = []string{d.Command[0]}
	for _, a := range arguments {
		b.Command = append(b.Command, fill.Replace(a))
	}
	for _, t := range d.Targets {
		b.Targets = append(b.Targets, fill.Replace(t))
	}
	if len(b.Targets) == 0 {
		b.Targets = []string{net.JoinHostPort("127.0.0.1", text(0))}
	}
	b.Address, b.ready = b.Targets[0], d.Ready
	env := append(environment(), markVariable+"="+b.dir)
	for name, value := range d.Environment {
		env = append(env, name+"="+fill.Replace(value))
	}
	return b.run(path, env)
}

// run begins the process.
func (b *Broker) run(path string, env []string) error {
	output, err := os.OpenFile(b.output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	cmd, ended := exec.Command(path, b.Command[1:]...), make(chan struct{})
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = b.dir, output, output, env
	// A group of its own: the terminal's Ctrl-C is for the bench, which ends
	// the broker in order, with whatever children it has.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.cmd, b.ended = cmd, ended
	go func() {
		_ = cmd.Wait() // how it ended shows in its output
		close(ended)
	}()
	return nil
}

// environment is ours without the options of our own broker: what is measured
// is what the definition says.
func environment() (kept []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TOMBOLO_") {
			kept = append(kept, e)
		}
	}
	return kept
}

// answers waits until the broker accepts a client at every node, and has said
// that it is ready if it is to.
func (b *Broker) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeoutMax)
	defer cancel()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		err := b.look(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-b.ended:
			return fmt.Errorf("it ended: %s", b.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%w: %w; it said: %s", context.Cause(ctx), err, b.lastWords())
		case <-tick.C:
		}
	}
}

// look asks once whether it is ready.
func (b *Broker) look(ctx context.Context) error {
	if text, err := os.ReadFile(b.output); err != nil || !bytes.Contains(text, []byte(b.ready)) {
		return fmt.Errorf("it has not said %q yet", b.ready)
	}
	for _, t := range b.Targets {
		if err := b.probe(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// probe connects as a client once.
func (b *Broker) probe(ctx context.Context, target string) error {
	dialer := &net.Dialer{Timeout: probeTimeoutMax}
	dial := dialer.DialContext
	address, secured := strings.CutPrefix(target, tlsWay)
	if secured {
		dial = (&tls.Dialer{NetDialer: dialer, Config: b.TLS}).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(probeTimeoutMax)); err != nil {
		return err
	}
	hello := packet.Connect{Version: packet.V311, ClientID: []byte("bench-probe"), CleanStart: true}
	if _, err := conn.Write(packet.AppendConnect(nil, &hello)); err != nil {
		return err
	}
	var in []byte
	for {
		f, size, err := packet.Split(in, 0)
		if err != nil {
			return err
		}
		if size > 0 {
			var ack packet.Connack
			if err := packet.DecodeConnack(f, packet.V311, &ack); err != nil {
				return err
			}
			if ack.Reason != packet.Success {
				return fmt.Errorf("it refuses: %s", ack.Reason)
			}
			_, err := conn.Write(packet.AppendDisconnect(nil, packet.V311, &packet.Disconnect{}))
			return err
		}
		var buf [64]byte
		n, err := conn.Read(buf[:])
		if err != nil {
			return err
		}
		in = append(in, buf[:n]...)
	}
}

// lastWords is the last line that the broker printed.
func (b *Broker) lastWords() string {
	text, err := os.ReadFile(b.output)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := lines[len(lines)-1]; err == nil && last != "" {
		return last
	}
	return "nothing"
}
