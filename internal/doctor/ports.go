package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// port is what an attempt to listen gave. A value.
type port struct {
	err    error
	holder process // who has the address, if err says that somebody has
}

// process is one process of the machine. A value.
type process struct {
	id   int // 0: not known
	name string
}

func tryListen(ctx context.Context, l Listener) port {
	if l.Network == "unix" {
		return tryUnix(l.Address)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, l.Network, l.Address)
	if err == nil {
		return port{err: ln.Close()}
	}
	p := port{err: err}
	if _, text, splitErr := net.SplitHostPort(l.Address); splitErr == nil && errors.Is(err, syscall.EADDRINUSE) {
		if n, err := strconv.Atoi(text); err == nil {
			p.holder = holderOf("/proc", n)
		}
	}
	return p
}

// tryUnix does not listen, which would leave a socket; it looks whether
// somebody answers.
func tryUnix(path string) port {
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
		return port{err: syscall.EADDRINUSE}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return port{err: probeWrite(nearestParent(path))}
	}
	return port{err: err}
}

// ourName is how a broker shows in the process list.
const ourName = "tombolo"

func judgePort(l Listener, p port) Finding {
	f := Finding{Check: "listener " + l.Name, State: Well, Found: l.Address + " is free"}
	switch {
	case p.err == nil:
	case errors.Is(p.err, syscall.EADDRINUSE) && p.holder.name == ourName:
		f.Found = fmt.Sprintf("%s is in use by %s (process %d): the broker runs", l.Address, ourName, p.holder.id)
	case errors.Is(p.err, syscall.EADDRINUSE) && p.holder.id != 0:
		f.State, f.Found = Fault, fmt.Sprintf("%s is in use by %s (process %d)", l.Address, p.holder.name, p.holder.id)
		f.Remedy = fmt.Sprintf("stop that process, or choose another port for listener.%s", l.Name)
	case errors.Is(p.err, syscall.EADDRINUSE):
		f.State, f.Found = Fault, l.Address+" is in use by a process that this user may not see"
		f.Remedy = "run the check as root to see which, or ask ss -ltnp"
	case errors.Is(p.err, fs.ErrPermission):
		f.State, f.Found = Fault, l.Address+" is not permitted to this user"
		f.Remedy = "choose a port above 1023, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit"
	case errors.Is(p.err, syscall.EADDRNOTAVAIL):
		f.State, f.Found = Fault, l.Address+" is no address of this machine"
		f.Remedy = "use one of ip addr, or 0.0.0.0 for all"
	default:
		f.State, f.Found, f.Remedy = Fault, fmt.Sprintf("%s: %v", l.Address, p.err), "correct listener."+l.Name
	}
	return f
}

// listening is the state LISTEN in /proc/net/tcp.
const listening = "0A"

// holderOf finds the process that listens on a TCP port: its socket's inode
// stands in net/tcp, and one of its descriptors links to it.
func holderOf(proc string, port int) process {
	inode := listeningInode(proc, port)
	if inode == "" {
		return process{}
	}
	links, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	if err != nil {
		return process{}
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		id, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			name = []byte("a process that just ended")
		}
		return process{id: id, name: strings.TrimSpace(string(name))}
	}
	return process{}
}

func listeningInode(proc string, port int) string {
	suffix := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		b, err := os.ReadFile(filepath.Join(proc, table))
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(b), "\n") {
			// sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
			f := strings.Fields(line)
			if len(f) > 9 && strings.HasSuffix(f[1], suffix) && f[3] == listening {
				return f[9]
			}
		}
	}
	return ""
}
