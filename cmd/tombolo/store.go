package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
	"tombolo/internal/kv"
	"tombolo/internal/storepage"
)

func init() { register(newStore) }

// The databases of a data directory: docs/data-directory.md.
const (
	storeMetadata = storepage.NameMetadata
	storeMessages = storepage.NameMessages
)

// storeFlags are the flags of one call. Immutable once parsed.
type storeFlags struct {
	apiFlags
	dataDir string
}

func newStore() *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Look into the databases of a node",
		Long: `Look into the databases of a node that runs, or with --data-dir into the data
directory of one that is stopped, without changing them.

Nothing here repairs: a node that starts does that by itself. It sets damaged
files aside into a folder damaged-<time>, and is refilled from its peers.`,
	}
	c.AddCommand(newStoreInspect(), newStoreVerify())
	return c
}

func newStoreInspect() *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:   "inspect [--data-dir DIR]",
		Short: "Print sizes, clock, digest and pending garbage",
		Long: `Print what the databases of a node hold: its node id and actor, its
clock and digest, the keys that are live, the deletes that are not collected
yet, and how many bytes each part takes. Two nodes with equal clocks hold the
same metadata if their digests are equal.`,
		Example: `  tombolo store inspect
  tombolo store inspect --data-dir /var/lib/tombolo
  tombolo store inspect --data-dir /var/lib/tombolo --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.dataDir == "" {
				return f.ask(c, f.inspectRunning)
			}
			return f.inspect(c.OutOrStdout())
		},
	}
	f.bind(c)
	return c
}

func newStoreVerify() *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:   "verify [--data-dir DIR]",
		Short: "Read every block; recompute index, counts and digest",
		Long: `Read every block of both databases and check its checksum, then compute the
index, the counts and the digest of the metadata anew and compare them with
what is stored. Each fault is one line. The exit code is 1 if there is any.`,
		Example: `  tombolo store verify --timeout 5m
  tombolo store verify --data-dir /var/lib/tombolo
  tombolo store verify --data-dir backup/2026-03-01 && echo sound`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.dataDir == "" {
				return f.ask(c, f.verifyRunning)
			}
			return f.verify(c.OutOrStdout())
		},
	}
	f.bind(c)
	return c
}

func (f *storeFlags) bind(c *cobra.Command) {
	f.apiFlags.bind(c)
	c.Flags().StringVar(&f.dataDir, "data-dir", "", "the data directory (data_dir) of a node that is stopped")
	_ = c.MarkFlagDirname("data-dir")
}

// open opens one database for reading; nil without an error if it is not there.
func (f *storeFlags) open(name string, everyBlock bool) (kv.DB, *kv.Report, error) {
	dir := filepath.Join(f.dataDir, name)
	db, report, err := kv.OpenLevel(dir, kv.Options{ReadOnly: true, MustExist: true, VerifyAll: everyBlock})
	switch {
	case err == nil:
		return db, report, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, report, nil
	case errors.Is(err, kv.ErrLocked):
		return nil, report, fail(exitEnvironment, fmt.Errorf("%w; without --data-dir it is asked itself", err))
	case errors.Is(err, kv.ErrCorrupted):
		return nil, report, fail(exitFailure, err)
	}
	return nil, report, fail(exitEnvironment, err)
}

// missing is the error of a directory without the database that every node has.
func (f *storeFlags) missing() error {
	return fail(exitEnvironment, fmt.Errorf("%s holds no data of a node: give its data_dir with --data-dir", f.dataDir))
}

func (f *storeFlags) inspect(out io.Writer) error {
	db, _, err := f.open(storeMetadata, false)
	if err != nil {
		return err
	}
	if db == nil {
		return f.missing()
	}
	page, err := storepage.Metadata(db)
	if err = errors.Join(err, db.Close()); err != nil {
		return fail(exitFailure, err)
	}
	if db, _, err = f.open(storeMessages, false); err != nil {
		return err
	}
	if db != nil {
		page.Messages = storepage.Look(db)
		if err = db.Close(); err != nil {
			return fail(exitFailure, err)
		}
	}
	if f.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(page)
	}
	return printStorePage(out, page)
}

func (f *storeFlags) verify(out io.Writer) error {
	db, _, err := f.open(storeMetadata, true)
	if err != nil {
		return err
	}
	if db == nil {
		return f.missing()
	}
	faults, err := storepage.Verify(db)
	if err = errors.Join(err, db.Close()); err != nil {
		return fail(exitFailure, err)
	}
	if db, _, err = f.open(storeMessages, true); err != nil {
		return err
	}
	if db != nil {
		for _, reason := range db.Suspect() {
			faults = append(faults, storeMessages+": suspect: "+reason)
		}
		if err := db.Close(); err != nil {
			return fail(exitFailure, err)
		}
	}
	if err := f.tell(out, faults); err != nil || len(faults) == 0 {
		return err
	}
	return fail(exitFailure, fmt.Errorf("%d faults in %s: start the node, which repairs what it can and is refilled from its peers", len(faults), f.dataDir))
}

// tell prints what verify has found.
func (f *storeFlags) tell(out io.Writer, faults []string) error {
	if f.json {
		return json.NewEncoder(out).Encode(map[string][]string{"faults": append([]string{}, faults...)})
	}
	return printFaults(out, faults)
}

// inspectRunning asks a node that runs.
func (f *storeFlags) inspectRunning(a *asker) error {
	var page storepage.Page
	if err := a.do("GET", "/api/v1/store/"+storeMetadata, nil, nil, &page); err != nil {
		return err
	}
	if f.json {
		return a.printJSON(&page)
	}
	return printStorePage(a.out, &page)
}

// verifyRunning has a node that runs check its databases.
func (f *storeFlags) verifyRunning(a *asker) error {
	var faults []string
	for _, name := range []string{storeMetadata, storeMessages} {
		var report admin.StoreReport
		if err := a.do("POST", "/api/v1/store/"+name+"/verify", nil, nil, &report); err != nil {
			return err
		}
		faults = append(faults, report.Findings...)
	}
	if err := f.tell(a.out, faults); err != nil || len(faults) == 0 {
		return err
	}
	return fail(exitFailure, fmt.Errorf("%d faults: what is damaged is mended from the other members; stop the node and start it again if they stay", len(faults)))
}

func printFaults(out io.Writer, faults []string) error {
	if len(faults) == 0 {
		_, err := fmt.Fprintln(out, "every block, the index, the counts and the digest are sound")
		return err
	}
	for _, fault := range faults {
		if _, err := fmt.Fprintln(out, fault); err != nil {
			return err
		}
	}
	return nil
}
