package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"tombolo/internal/kv"
	"tombolo/metadata"
	"tombolo/metadata/replica"
)

func init() { register(newStore) }

// The databases of a data directory: docs/data-directory.md.
const (
	storeMetadata = "metadata"
	storeMessages = "messages"
)

// storeFlags are the flags of one call. Immutable once parsed.
type storeFlags struct {
	dataDir string
	json    bool
}

func newStore() *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Look into the databases of a node that is stopped",
		Long: `Look into the data directory of a node that does not run, without changing it.

A node that runs holds its databases locked; ask it with tombolo show instead.
Nothing here repairs: a node that starts does that by itself. It sets damaged
files aside into a folder damaged-<time>, and is refilled from its peers.`,
	}
	c.AddCommand(newStoreInspect(), newStoreVerify())
	return c
}

func newStoreInspect() *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:   "inspect --data-dir DIR",
		Short: "Print sizes, clock, digest and pending garbage",
		Long: `Print what the databases of a stopped node hold: its node id and actor, its
clock and digest, the keys that are live, the deletes that are not collected
yet, and how many bytes each part takes. Two nodes with equal clocks hold the
same metadata if their digests are equal.`,
		Example: `  tombolo store inspect --data-dir /var/lib/tombolo
  tombolo store inspect --data-dir /var/lib/tombolo --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.inspect(c.OutOrStdout()) },
	}
	f.bind(c)
	return c
}

func newStoreVerify() *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:   "verify --data-dir DIR",
		Short: "Read every block; recompute index, counts and digest",
		Long: `Read every block of both databases and check its checksum, then compute the
index, the counts and the digest of the metadata anew and compare them with
what is stored. Each fault is one line. The exit code is 1 if there is any.`,
		Example: `  tombolo store verify --data-dir /var/lib/tombolo
  tombolo store verify --data-dir backup/2026-03-01 && echo sound`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.verify(c.OutOrStdout()) },
	}
	f.bind(c)
	return c
}

func (f *storeFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.dataDir, "data-dir", "", "the data directory of the node (data_dir)")
	c.Flags().BoolVar(&f.json, "json", false, "print for programs")
	_ = c.MarkFlagDirname("data-dir")
}

// open opens one database for reading; nil without an error if it is not there.
func (f *storeFlags) open(name string, everyBlock bool) (kv.DB, *kv.Report, error) {
	if f.dataDir == "" {
		return nil, nil, fail(exitUsage, errors.New("say where: --data-dir /var/lib/tombolo"))
	}
	dir := filepath.Join(f.dataDir, name)
	db, report, err := kv.OpenLevel(dir, kv.Options{ReadOnly: true, MustExist: true, VerifyAll: everyBlock})
	switch {
	case err == nil:
		return db, report, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, report, nil
	case errors.Is(err, kv.ErrLocked):
		return nil, report, fail(exitEnvironment, fmt.Errorf("%w; tombolo show asks it", err))
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
	page, err := inspectMetadata(db)
	if err = errors.Join(err, db.Close()); err != nil {
		return fail(exitFailure, err)
	}
	if db, _, err = f.open(storeMessages, false); err != nil {
		return err
	}
	if db != nil {
		page.Messages, err = inspectDatabase(db)
		if err = errors.Join(err, db.Close()); err != nil {
			return fail(exitFailure, err)
		}
	}
	if f.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(page)
	}
	return page.print(out)
}

func (f *storeFlags) verify(out io.Writer) error {
	db, _, err := f.open(storeMetadata, true)
	if err != nil {
		return err
	}
	if db == nil {
		return f.missing()
	}
	faults, err := verifyMetadata(db)
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
	if f.json {
		err = json.NewEncoder(out).Encode(map[string][]string{"faults": append([]string{}, faults...)})
	} else {
		err = printFaults(out, faults)
	}
	if err == nil && len(faults) > 0 {
		return fail(exitFailure, fmt.Errorf("%d faults in %s: start the node, which repairs what it can and is refilled from its peers", len(faults), f.dataDir))
	}
	return err
}

// verifyMetadata checks what only the store above the database can know.
func verifyMetadata(db kv.DB) ([]string, error) {
	var faults []string
	for _, reason := range db.Suspect() {
		faults = append(faults, storeMetadata+": suspect: "+reason)
	}
	snapshot, err := db.Snapshot()
	if err != nil {
		return faults, err
	}
	defer snapshot.Release()
	found, err := replica.Verify(snapshot, metadata.Policy())
	for _, fault := range found {
		faults = append(faults, storeMetadata+": "+fault)
	}
	return faults, err
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
