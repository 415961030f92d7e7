//go:build !linux

package main

import "syscall"

// childAttributes give a node a process group of its own.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
