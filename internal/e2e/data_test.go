package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tombolo/mqtt/packet"
)

// queued leaves one message waiting for a client that is away.
func (n *node) queued(payload string) {
	n.tb.Helper()
	n.joined("away", keeping(3600), "news").Disconnect(packet.Success)
	n.join("pub", nil).send("news", payload, 1, false)
}

// TestBackupAndRestore goes through the steps of docs/data-directory.md.
func TestBackupAndRestore(t *testing.T) {
	n := startNode(t)
	n.queued("before the backup")
	n.terminate()
	data, backup := n.options["data_dir"], filepath.Join(n.dir, "backup")
	if got := run(t, n.dir, "cp", "-a", data, backup); got.code != 0 {
		t.Fatalf("cp: %+v", got)
	}
	if got := tool(t, "store", "verify", "--data-dir", backup); got.code != 0 {
		t.Errorf("store verify: %+v", got)
	}
	n.start()
	if got := tool(t, "store", "verify", "--data-dir", data); got.code == 0 {
		t.Errorf("store verify on a running node: %+v", got)
	}
	socket := filepath.Join(data, "admin.sock")
	if got := tool(t, "store", "verify", "--socket", socket); got.code != 0 || !strings.Contains(got.out, "sound") {
		t.Errorf("store verify that asks the node: %+v", got)
	}
	if got := tool(t, "store", "inspect", "--socket", socket); got.code != 0 || !strings.Contains(got.out, "live keys") {
		t.Errorf("store inspect that asks the node: %+v", got)
	}
	n.join("away", keeping(3600)).gets("news", "before the backup")
	n.terminate()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(backup, data); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.join("away", keeping(3600)).gets("news", "before the backup")
}

// TestDamagedFiles: what is damaged is set aside and told; the node serves.
func TestDamagedFiles(t *testing.T) {
	for _, pattern := range []string{"messages/CURRENT", "metadata/CURRENT", "messages/MANIFEST-*"} {
		t.Run(pattern, func(t *testing.T) {
			n := startNode(t)
			n.queued("still here")
			n.terminate()
			files, err := filepath.Glob(filepath.Join(n.options["data_dir"], pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("no file %s: %v", pattern, err)
			}
			for _, f := range files {
				write(t, f, "this is not what it was")
			}
			n.start()
			n.logged("damaged file set aside")
			n.join("away", keeping(3600)).gets("news", "still here")
			aside, err := filepath.Glob(filepath.Join(n.options["data_dir"], "*", "damaged-*"))
			if err != nil || len(aside) == 0 {
				t.Errorf("no folder with what was damaged: %v", err)
			}
		})
	}
}

// TestNodeIDIsNotGuessed: a damaged identity is not replaced by another.
func TestNodeIDIsNotGuessed(t *testing.T) {
	n := startNode(t)
	n.terminate()
	write(t, filepath.Join(n.options["data_dir"], "node.id"), "nonsense\n")
	if said := n.launch(); !hasLine(said, "node.id", "restore it") {
		t.Errorf("with a damaged node.id the node said %q", said)
	}
}

// TestGuaranteesAreShown: each sentence of the page names tests, and they are
// there.
func TestGuaranteesAreShown(t *testing.T) {
	have := map[string]bool{}
	test := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() && strings.HasPrefix(e.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range test.FindAllSubmatch(text, -1) {
			have[filepath.Base(filepath.Dir(path))+"."+string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"docs/guarantees.md", "docs/data-directory.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("`(\\w+\\.Test\\w+)`").FindAllSubmatch(text, -1)
		if len(named) < 5 {
			t.Errorf("%s names %d tests only", page, len(named))
		}
		var missing []string
		for _, m := range named {
			if !have[string(m[1])] {
				missing = append(missing, string(m[1]))
			}
		}
		slices.Sort(missing)
		if missing = slices.Compact(missing); len(missing) > 0 {
			t.Errorf("%s names tests that are not there: %v", page, missing)
		}
	}
}
