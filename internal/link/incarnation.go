package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"tombolo/internal/wire"
)

// LastIncarnation is the name of the last run of a process; 0 if there was none.
func LastIncarnation(path string) (wire.Incarnation, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("incarnation: %w", err)
	}
	last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s does not hold a number: %w; restore it from a backup, or remove it and wait a second", path, err)
	}
	return wire.Incarnation(last), nil
}

// NextIncarnation names this run of the process: the milliseconds of the wall
// clock, and more than the last one in any case. It is on the disk before it is
// used, so that no clock that was set back makes two runs look like one.
func NextIncarnation(path string, now time.Time) (wire.Incarnation, error) {
	last, err := LastIncarnation(path)
	if err != nil {
		return 0, err
	}
	next := max(wire.Incarnation(max(now.UnixMilli(), 0)), last+1)
	if err := writeSynced(path, strconv.FormatUint(uint64(next), 10)+"\n"); err != nil {
		return 0, fmt.Errorf("incarnation: %w", err)
	}
	return next, nil
}

// writeSynced replaces a file in one step.
func writeSynced(path, text string) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
