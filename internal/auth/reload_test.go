package auth

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// journal is a log that a test reads. Guarded by mu.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

// take returns the lines since the last call.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := strings.TrimSpace(j.buf.String())
	j.buf.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func newJournal() (*journal, *slog.Logger) {
	j := new(journal)
	return j, slog.New(slog.NewTextHandler(j, nil))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func verdictOf(p *PasswordFile, user, password string) Verdict {
	v, _ := p.Authenticate(context.Background(), &Client{Username: user}, []byte(password))
	return v
}

// TestInterval tells the story of a password file under Run: edited, broken,
// mended, removed.
func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "passwd")
		write(t, path, sha512Line("a", "1"))
		log, logger := newJournal()
		p := NewPasswordFile(PasswordConfig{Path: path, Interval: 10 * time.Second, Log: logger})
		if err := p.Reload(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = p.Run(ctx) }()
		pass := func(d time.Duration) {
			<-time.After(d) // the clock of the bubble
			synctest.Wait()
		}
		expect := func(step, users string, fault bool, lines int) {
			t.Helper()
			got := ""
			for _, u := range []string{"a", "b"} {
				if verdictOf(p, u, "1") == Allow {
					got += u
				}
			}
			st := p.State()
			said := log.take()
			if got != users || (st.Fault != "") != fault || len(said) != lines || st.Entries != len(users) {
				t.Fatalf("%s: users %q, state %+v, log %q; want users %q, fault %v, %d lines", step, got, st, said, users, fault, lines)
			}
		}
		expect("start", "a", false, 1)
		pass(25 * time.Second)
		expect("untouched", "a", false, 0)
		write(t, path, sha512Line("a", "1")+"\n"+sha512Line("b", "1"))
		pass(9 * time.Second / 2)
		expect("before the interval", "a", false, 0)
		pass(10 * time.Second)
		expect("after it", "ab", false, 1)
		write(t, path, sha512Line("b", "1")+"\nnonsense")
		pass(35 * time.Second)
		expect("broken: said once", "ab", true, 1)
		if st := p.State(); !strings.Contains(st.Fault, path+":2:") || st.Failures < 3 {
			t.Fatalf("the state does not tell the line and the failures: %+v", st)
		}
		write(t, path, sha512Line("b", "1"))
		pass(10 * time.Second)
		expect("mended", "b", false, 1)
		p.SetInterval(0)
		write(t, path, sha512Line("a", "1"))
		pass(time.Hour)
		expect("no interval", "b", false, 0)
		if err := p.Reload(); err != nil {
			t.Fatal(err)
		}
		expect("asked to", "a", false, 1)
		p.SetInterval(time.Second)
		os.Remove(path)
		pass(5 * time.Second)
		expect("removed", "", true, 1)
		if st := p.State(); !st.Missing || !st.Read {
			t.Fatalf("a file that was removed: %+v", st)
		}
	})
}

// TestMissingAtStart is what the hint about `tombolo passwd` is made of.
func TestMissingAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	p := NewPasswordFile(PasswordConfig{Path: path})
	if err := p.Reload(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Reload says %v", err)
	}
	if st := p.State(); !st.Missing || st.Read || st.Entries != 0 || st.Failures != 1 {
		t.Errorf("state: %+v", st)
	}
	if v := verdictOf(p, "a", "1"); v != Next {
		t.Errorf("without a file: %v", v)
	}
	write(t, path, sha512Line("a", "1"))
	if err := p.Reload(); err != nil || p.State().Missing || verdictOf(p, "a", "1") != Allow {
		t.Errorf("the file has come and is not taken: %v, %+v", err, p.State())
	}
	if err := NewPasswordFile(PasswordConfig{Path: t.TempDir()}).Reload(); !errors.Is(err, errNotRegular) {
		t.Errorf("a directory: %v", err)
	}
}

// TestACLReload: a broken ACL keeps the old rules, and so does a missing one.
func TestACLReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acl")
	write(t, path, "topic a\n")
	log, logger := newJournal()
	a := NewACLFile(ACLConfig{Path: path, Log: logger})
	allowed := func() bool { return a.AuthorizePublish(&Client{}, []byte("a"), 0, false) == Allow }
	if err := a.Reload(); err != nil || !allowed() {
		t.Fatalf("the file is not taken: %v", err)
	}
	write(t, path, "topic b\nnonsense x\n")
	log.take()
	if err := a.Reload(); err == nil || !allowed() {
		t.Errorf("broken: error %v, the old rules hold: %v", err, allowed())
	}
	if said := log.take(); len(said) != 1 || !strings.Contains(said[0], path+":2:") {
		t.Errorf("the log says %q", said)
	}
	os.Remove(path)
	if err := a.Reload(); err == nil || !allowed() || !a.State().Missing || a.State().Entries != 1 {
		t.Errorf("missing: error %v, the old rules hold: %v, state %+v", err, allowed(), a.State())
	}
	write(t, path, "topic b\ntopic c#\ntopic d#")
	log.take()
	if err := a.Reload(); err != nil || allowed() || a.State().Entries != 1 || a.State().Failures != 2 {
		t.Errorf("mended: error %v, the old rules hold: %v, state %+v", err, allowed(), a.State())
	}
	if said := strings.Join(log.take(), "\n"); !strings.Contains(said, "line 2") || !strings.Contains(said, "1 others") {
		t.Errorf("the log says %q", said)
	}
	a.SetPath(filepath.Join(filepath.Dir(path), "other"))
	write(t, a.State().Path, "topic a")
	if err := a.Reload(); err != nil || !allowed() {
		t.Errorf("another path is not taken: %v", err)
	}
}

// TestUnchanged: a file whose stamp is old and equal is not read again, one
// whose stamp is young is.
func TestUnchanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acl")
	a := NewACLFile(ACLConfig{Path: path})
	stamp := func(text string, at time.Time) {
		write(t, path, text)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		_ = a.load(false)
	}
	old := time.Now().Add(-time.Hour)
	in := func(topic string) bool { return a.AuthorizePublish(&Client{}, []byte(topic), 0, false) == Allow }
	stamp("topic a", old)
	stamp("topic b", old)
	if !in("a") || in("b") {
		t.Errorf("a file with an old stamp was read again")
	}
	now := time.Now()
	stamp("topic b", now)
	stamp("topic c", now)
	if !in("c") {
		t.Errorf("a second write within one tick of the clock was missed")
	}
	if got := a.State().Loads; got != 3 {
		t.Errorf("%d loads, want 3", got)
	}
}
