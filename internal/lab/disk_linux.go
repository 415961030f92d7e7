package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// smallDisk is room for what a broker writes in a trial, and not for much more.
const smallDisk = "size=96m"

// confine puts the broker's data on a disk of their own that can be filled. Call
// it before Start.
func (b *Broker) confine() error {
	dir := b.Options["data_dir"]
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, smallDisk); err != nil {
		return fmt.Errorf("lab: a disk for %s: %w", b.Host.Addr(), err)
	}
	b.small = true
	return nil
}

// release takes the disk away; the process has ended.
func (b *Broker) release() error {
	if !b.small {
		return nil
	}
	b.small = false
	return unix.Unmount(b.Options["data_dir"], unix.MNT_DETACH)
}

func (b *Broker) filler() string { return filepath.Join(b.Options["data_dir"], "filler") }

// fill leaves no room on the disk.
func (b *Broker) fill() error {
	if !b.small {
		return errors.New("lab: its disk is not one to fill")
	}
	f, err := os.Create(b.filler())
	if err != nil {
		return err
	}
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// empty makes room again.
func (b *Broker) empty() error { return os.Remove(b.filler()) }
