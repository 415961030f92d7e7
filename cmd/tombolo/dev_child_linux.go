package main

import "syscall"

// childAttributes give a node a process group of its own, and have it stop when
// we are gone.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
