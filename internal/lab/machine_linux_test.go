package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is a host with a file system, processes and users of its own: what is
// written there is written nowhere else. Owned by one test.
type machine struct {
	name string
	root string // its file system, seen from here
	init string // the process that holds its namespaces
	seen string // where the others find its /etc/tombolo
}

// holder sets up a machine and is its first process, which reaps the others.
// $1 is an empty directory, $2 what all machines share.
const holder = `set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/run"
mount -t tmpfs tmpfs "$1/root/tmp"
mkdir "$1/root/peers"
mount --bind "$2" "$1/root/peers"
touch "$1/up"
while :; do sleep 1; done`

// systemctl stands in for systemd: it knows the one unit, starts its ExecStart as
// its User, and waits until the program says that it is ready, as Type=notify does.
const systemctl = `#!/bin/bash
unit=/etc/systemd/system/tombolo.service pidfile=/run/tombolo.pid
running() { [ -e $pidfile ] && kill -0 "$(cat $pidfile)" 2>/dev/null; }
start() {
	running && return 0
	command=$(sed -n 's/^ExecStart=//p' $unit) user=$(sed -n 's/^User=//p' $unit)
	: > /run/tombolo.log; chmod 666 /run/tombolo.log
	(cd /; exec setsid setpriv --reuid "$user" --regid "$user" --init-groups $command) >> /run/tombolo.log 2>&1 < /dev/null &
	echo $! > $pidfile
	for i in $(seq 300); do grep -q ' is ready' /run/tombolo.log && return 0; running || break; sleep 0.1; done
	cat /run/tombolo.log >&2; return 1
}
stop() { running || return 0; kill -"${1:-TERM}" "$(cat $pidfile)"; for i in $(seq 900); do running || return 0; sleep 0.1; done; return 1; }
case "$*" in
daemon-reload|"disable tombolo") ;;
"enable --now tombolo"|"start tombolo") start ;;
"stop tombolo") stop ;;
"kill --signal=SIGKILL tombolo") stop KILL ;;
*) echo "systemctl $*: not known here" >&2; exit 1 ;;
esac`

// newMachines makes three machines in three network namespaces.
func newMachines(t *testing.T, n int) []*machine {
	t.Helper()
	w, err := New(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	var list []*machine
	shared := t.TempDir()
	for i := range n {
		dir := t.TempDir()
		cmd := exec.Command("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "bash", "-c", holder, "bash", dir, shared)
		var out bytes.Buffer
		cmd.Stderr = &out
		p, err := w.Host(i).Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{name: fmt.Sprintf("node%d", i+1)}
		m.seen = filepath.Join(shared, m.name, "etc")
		m.wait(t, p, dir, &out)
		list = append(list, m)
	}
	// A stand-in for a copy over ssh, between their file systems.
	for _, m := range list {
		var script strings.Builder
		script.WriteString("#!/bin/bash\nshift\nto=\"${@: -1}\"\nfor f in \"${@:1:$#-1}\"; do case \"$f\" in\n")
		for _, o := range list {
			dir := filepath.Join("/peers", o.name)
			fmt.Fprintf(&script, "%s:*) cp -p \"%s${f#*:}\" \"$to\" ;;\n", o.name, dir)
		}
		script.WriteString("*) exit 1 ;;\nesac || exit 1; done\n")
		m.install(t, "/usr/bin/scp", script.String())
		m.install(t, "/usr/bin/systemctl", systemctl)
	}
	return list
}

// wait waits until the machine is set up and finds its first process.
func (m *machine) wait(t *testing.T, p *Process, dir string, out *bytes.Buffer) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.Pid(), p.Pid()))
		if m.init = strings.TrimSpace(string(children)); m.init != "" {
			m.root = filepath.Join("/proc", m.init, "root", dir, "root")
			if _, err := os.Stat(filepath.Join("/proc", m.init, "root", dir, "up")); err == nil {
				return
			}
		}
		select {
		case <-p.Done():
			t.Fatalf("a machine of its own cannot be made: %s", out)
		case <-ctx.Done():
			t.Fatalf("a machine does not come up: %s", out)
		default:
			pause(ctx, 20*time.Millisecond)
		}
	}
}

// install writes a program into the machine.
func (m *machine) install(t *testing.T, path, text string) {
	t.Helper()
	full := m.root + path
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(full) // it may be a link to another program
	if err := os.WriteFile(full, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// run runs a block of commands on the machine and returns what they print.
func (m *machine) run(ctx context.Context, script string) (string, error) {
	root := strings.TrimPrefix(m.root, filepath.Join("/proc", m.init, "root"))
	cmd := exec.CommandContext(ctx, "nsenter", "--target", m.init, "--mount", "--pid", "--net", "chroot", root, "bash", "-euo", "pipefail", "-c", "cd /root\n"+script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		err = m.show(ctx)
	}
	return string(out), err
}

// show lets the other machines see /etc/tombolo, for the stand-in of scp.
func (m *machine) show(ctx context.Context) error {
	if err := os.RemoveAll(m.seen); err != nil {
		return err
	}
	if err := os.MkdirAll(m.seen, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(m.root + "/etc/tombolo"); err != nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, "cp", "-a", m.root+"/etc/tombolo", m.seen).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
