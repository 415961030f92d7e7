package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
	"tombolo/internal/option"
)

// The ports of the first node of a cluster on this machine; the others' follow.
// Those of links and gossip lie below the range that the system hands out.
var devPortsUsual = devPorts{tcp: 1883, ws: 8083, http: 8888, link: 24051, gossip: 24061}

const devNodesMax = 9

// devPorts are those of the first node, by kind. A value.
type devPorts struct{ tcp, ws, http, link, gossip int }

// devPortsFrom puts all kinds behind one port, for clusters beside each other.
func devPortsFrom(first int) devPorts {
	if first == 0 {
		return devPortsUsual
	}
	return devPorts{tcp: first, ws: first + 10, http: first + 20, link: first + 30, gossip: first + 40}
}

// devNode is one child process. Owned by devCluster.
type devNode struct {
	name  string
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // why it ended; set before ended is closed
}

// devCluster is some nodes on this machine, one process each. Owned by the
// command that runs it.
type devCluster struct {
	cmd   *cobra.Command
	dir   string
	ports devPorts
	prof  profiling // of each node
	nodes []*devNode
	out   sync.Mutex // lines of the nodes
}

// runDevNodes runs n nodes until a signal ends it.
func runDevNodes(cmd *cobra.Command, n int, ports devPorts, src option.Sources, prof profiling) error {
	if n > devNodesMax {
		return fail(exitUsage, fmt.Errorf("--nodes %d: %d are the most", n, devNodesMax))
	}
	if len(src.FlagFaults) > 0 {
		return fail(exitUsage, errors.New(src.FlagFaults[0].Error()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	c := &devCluster{cmd: cmd, dir: "data", ports: ports, prof: prof}
	own := map[string]string{}
	for _, a := range src.Flags {
		own[a.Key] = a.Value
	}
	if dir := own["data_dir"]; dir != "" {
		c.dir = dir
	}
	key, err := devKey(c.dir)
	if err != nil {
		return fail(exitEnvironment, err)
	}
	for i := range n {
		if err := c.start(i, n, own, key, src.Files); err != nil {
			c.stop()
			return fail(exitEnvironment, err)
		}
	}
	if err := c.await(ctx); err != nil {
		c.stop()
		return err
	}
	if ctx.Err() == nil {
		c.greet()
	}
	ended := c.anyEnded()
	select {
	case <-ctx.Done():
		stop() // a second signal ends this process at once
		c.stop()
		return nil
	case d := <-ended:
		c.stop()
		return fail(exitFailure, fmt.Errorf("%s has ended: %v; the others were stopped", d.name, d.err))
	}
}

// devKey is the secret of the cluster, made at the first start.
func devKey(dir string) (string, error) {
	path := filepath.Join(dir, "cluster.key")
	if b, err := os.ReadFile(path); err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	text := base64.StdEncoding.EncodeToString(raw)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return text, os.WriteFile(path, []byte(text+"\n"), 0o600)
}

// devOptions are what node i of n is told; own is what the user says.
func devOptions(i, n int, p devPorts, dir string, own map[string]string) map[string]string {
	local := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
	var seeds []string
	for k := range n {
		seeds = append(seeds, local(p.gossip+k))
	}
	out := map[string]string{
		"nodename":              "node" + strconv.Itoa(i+1),
		"listener.tcp.default":  local(p.tcp + i),
		"listener.ws.default":   local(p.ws + i),
		"listener.http.default": local(p.http + i),
		"cluster.bind_address":  "127.0.0.1", "cluster.link_port": strconv.Itoa(p.link + i), "cluster.gossip_port": strconv.Itoa(p.gossip + i),
		"cluster.seeds": strings.Join(seeds, ","), "cluster.expected_members": strconv.Itoa(n), "cluster.rehearsal": "on",
		"leveldb.maximum_memory": "64MB", "listener.max_connections": "1000",
	}
	maps.Copy(out, own)
	out["data_dir"] = filepath.Join(dir, "node"+strconv.Itoa(i+1))
	return out
}

// start starts node i. It gets a process group of its own, so that Ctrl-C
// reaches it through us, once.
func (c *devCluster) start(i, n int, own map[string]string, key string, files []string) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	options := devOptions(i, n, c.ports, c.dir, own)
	args := []string{"dev", "--one-line"}
	if c.prof.kind != "" {
		args = append(args, "--profile", c.prof.kind, "--profile-dir", filepath.Join(c.prof.dir, options["nodename"]))
	}
	for _, f := range files {
		args = append(args, "--config", f)
	}
	for _, k := range slices.Sorted(maps.Keys(options)) {
		args = append(args, "--"+k, options[k])
	}
	d := &devNode{name: options["nodename"], dir: options["data_dir"], cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	d.cmd.Env = append(os.Environ(), option.EnvironName("cluster.secret_key")+"="+key)
	d.cmd.SysProcAttr = childAttributes()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	d.cmd.Stdout, d.cmd.Stderr = write, write
	if err := d.cmd.Start(); err != nil {
		_, _ = read.Close(), write.Close()
		return err
	}
	_ = write.Close() // the child has it
	c.nodes = append(c.nodes, d)
	go func() {
		c.relay(d.name, read)
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	return nil
}

// relay prints what a node says, line by line, under its name.
func (c *devCluster) relay(name string, r io.ReadCloser) {
	defer r.Close()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "tombolo ") {
			continue // the line of a single node; ours says it for all
		}
		c.out.Lock()
		fmt.Fprintf(c.cmd.ErrOrStderr(), "%s | %s\n", name, lines.Text())
		c.out.Unlock()
	}
}

// devStart is how long all nodes may take to be ready.
const devStart = 60 * time.Second

// await returns when every node is ready, or the first has ended.
func (c *devCluster) await(ctx context.Context) error {
	limit := time.NewTimer(devStart)
	defer limit.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	ended := c.anyEnded()
	for {
		ready := 0
		for _, d := range c.nodes {
			if d.ready(ctx, len(c.nodes)) {
				ready++
			}
		}
		if ready == len(c.nodes) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		case d := <-ended:
			return fail(exitEnvironment, fmt.Errorf("%s did not start; what it said stands above", d.name))
		case <-limit.C:
			return fail(exitTimeout, fmt.Errorf("%d of %d nodes are ready after %v; tombolo cluster show may tell why", ready, len(c.nodes), devStart))
		}
	}
}

// ready asks a node over its admin socket whether it reaches all n.
func (d *devNode) ready(ctx context.Context, n int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := admin.NewSocketClient(filepath.Join(d.dir, socketName))
	defer client.Close()
	var v admin.ClusterView
	return client.Do(ctx, "GET", "/api/v1/cluster", nil, nil, &v) == nil && v.Opened && !v.Split && len(v.Reaches) == n
}

func (c *devCluster) anyEnded() <-chan *devNode {
	out := make(chan *devNode, len(c.nodes))
	for _, d := range c.nodes {
		go func() { <-d.ended; out <- d }()
	}
	return out
}

// devStop is how long a node may take to stop before it is killed.
const devStop = 20 * time.Second

// stop ends all nodes, the last one first, so that those that are left know of
// each stop that it is planned.
func (c *devCluster) stop() {
	for _, d := range slices.Backward(c.nodes) {
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-d.ended:
		case <-time.After(devStop):
			_ = d.cmd.Process.Kill()
			<-d.ended
		}
	}
}

// greet says what there is and what to try.
func (c *devCluster) greet() {
	out := c.cmd.OutOrStdout()
	fmt.Fprintf(out, "tombolo %s is ready: %d nodes, one cluster. No passwords, everything allowed, loopback only: for trying out.\n\n", version, len(c.nodes))
	t := newTable("NODE", "MQTT", "WEBSOCKET", "HTTP", "DATA", "ADMIN SOCKET")
	for i, d := range c.nodes {
		local := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port+i) }
		t.add(d.name, local(c.ports.tcp), local(c.ports.ws), local(c.ports.http), d.dir, filepath.Join(d.dir, socketName))
	}
	_ = t.print(out) // a terminal that is gone
	me, where, socket := invoked(), "", ""
	if c.dir != "data" { // the place that the commands look at by themselves
		where = " --data_dir " + c.dir
		socket = " --socket " + filepath.Join(c.dir, "node1", socketName)
	}
	fmt.Fprintf(out, `
Try, in other terminals:
  %[1]s sub -p %[2]d -t 'hello/#' -v
  %[1]s pub -p %[3]d -t hello/you -m 'good morning'

Cut node 1 off, look at it some seconds later, and heal it:
  %[1]s dev split%[4]s 1 %[5]s
  %[1]s cluster show%[6]s
  %[1]s dev heal%[4]s

Ctrl-C stops all.
`, me, c.ports.tcp+len(c.nodes)-1, c.ports.tcp, where, devOthers(len(c.nodes)), socket)
}

// devOthers is the group of all nodes of n but the first: 2,3.
func devOthers(n int) string {
	var list []string
	for i := 2; i <= n; i++ {
		list = append(list, strconv.Itoa(i))
	}
	return strings.Join(list, ",")
}
