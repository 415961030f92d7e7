package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Host is one host of a Network. Safe for concurrent use; its fields are
// immutable but for what mu guards.
type Host struct {
	number int
	name   string // of its namespace
	tun    *os.File
	mu     struct {
		sync.Mutex
		running map[*Process]struct{}
	}
}

// newHost makes a namespace with a loopback and one device, and opens the
// device's other end.
func newHost(w *Network, i int) (*Host, error) {
	h := &Host{number: i, name: fmt.Sprintf("%s%d-%d-%d", prefix, os.Getpid(), w.number, i)}
	h.mu.running = make(map[*Process]struct{})
	if err := ip("netns", "add", h.name); err != nil {
		return nil, err
	}
	err := h.inside(func() (err error) {
		h.tun, err = openTun("lab0")
		return err
	})
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", address(i).String() + "/24", "dev", "lab0"},
		{"link", "set", "lab0", "mtu", fmt.Sprint(packetMax), "up"},
	} {
		if err == nil {
			err = ip(append([]string{"-n", h.name}, args...)...)
		}
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// HereDevice is the device through which this machine is a host of a network.
const HereDevice = "tombolo-lab"

// newHere makes this machine itself the host with a number.
func newHere(i int) (*Host, error) {
	h := &Host{number: i}
	h.mu.running = make(map[*Process]struct{})
	var err error
	if h.tun, err = openTun(HereDevice); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"addr", "add", address(i).String() + "/24", "dev", HereDevice},
		{"link", "set", HereDevice, "mtu", fmt.Sprint(packetMax), "up"},
	} {
		if err == nil {
			err = ip(args...)
		}
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// ip runs the ip command.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("lab: ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// openTun makes a TUN device in the namespace of this thread.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("lab: /dev/net/tun: %w", err)
	}
	var req struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], name)
	req.flags = unix.IFF_TUN | unix.IFF_NO_PI
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return nil, errors.Join(fmt.Errorf("lab: TUN device: %w", errno), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}

// inside runs f on a thread that is in the host's namespace. A thread that
// cannot be brought back is given up.
func (h *Host) inside(f func() error) error {
	if h.name == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid()))
		if err != nil {
			done <- fmt.Errorf("lab: %w", err)
			return
		}
		defer home.Close()
		there, err := os.Open(filepath.Join(namespaces, h.name))
		if err != nil {
			done <- fmt.Errorf("lab: %w", err)
			return
		}
		defer there.Close()
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("lab: entering %s: %w", h.name, err)
			return
		}
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// Number is the host's number in its network.
func (h *Host) Number() int { return h.number }

// Addr is the host's address.
func (h *Host) Addr() netip.Addr { return address(h.number) }

// Namespace is the name under which `ip netns exec` finds the host; "" is this
// machine.
func (h *Host) Namespace() string { return h.name }

// Dial connects from this host. addr is IP:port.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	var c net.Conn
	err := h.inside(func() (err error) {
		// One address and no name: the socket is made on this very thread.
		c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// deliver hands a packet to the host's kernel; one that it does not take is lost.
func (h *Host) deliver(packet []byte) { _, _ = h.tun.Write(packet) }

// Process is a process on a host. Safe for concurrent use.
type Process struct {
	host *Host
	cmd  *exec.Cmd
	done chan struct{}
	err  error // once done is closed
}

// Start runs a command on the host. Its process id is that of the command
// itself. cmd.Path is replaced; everything else of cmd is kept.
func (h *Host) Start(cmd *exec.Cmd) (*Process, error) {
	tool, err := exec.LookPath("ip")
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	cmd.Args = append([]string{"ip", "netns", "exec", h.name, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.Err = tool, nil
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &Process{host: h, cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	// The kernel kills the child when the thread that started it ends, so that
	// thread waits here.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("lab: %w", err)
			return
		}
		h.mu.Lock()
		h.mu.running[p] = struct{}{}
		h.mu.Unlock()
		started <- nil
		p.err = cmd.Wait()
		h.mu.Lock()
		delete(h.mu.running, p)
		h.mu.Unlock()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Pid is the id of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal: SIGSTOP freezes it, SIGCONT lets it go on.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end and returns how it went.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Kill ends the process at once and waits for it.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// close ends what runs and removes the namespace.
func (h *Host) close() error {
	h.mu.Lock()
	list := make([]*Process, 0, len(h.mu.running))
	for p := range h.mu.running {
		list = append(list, p)
	}
	h.mu.Unlock()
	for _, p := range list {
		p.Kill()
	}
	var errs []error
	if h.tun != nil {
		errs = append(errs, h.tun.Close())
	}
	if h.name == "" {
		return errors.Join(errs...) // the device goes when it is closed
	}
	return errors.Join(append(errs, ip("netns", "del", h.name))...)
}
