package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tombolo/internal/auth"
)

// passwd runs `tombolo passwd` with input and returns its output and code.
func passwd(t *testing.T, input string, args ...string) (out string, code int) {
	t.Helper()
	var buf bytes.Buffer
	c := newPasswd()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	c.SetIn(strings.NewReader(input))
	c.SetOut(&buf)
	c.SetErr(&buf)
	err := c.Execute()
	var e *exitError
	switch {
	case err == nil:
		return buf.String(), exitOK
	case errors.As(err, &e):
		return buf.String() + e.Error(), e.code
	}
	return buf.String() + err.Error(), exitUsage
}

func allows(t *testing.T, path, user, password string) bool {
	t.Helper()
	p := auth.NewPasswordFile(auth.PasswordConfig{Path: path})
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	v, _ := p.Authenticate(t.Context(), &auth.Client{Username: user}, []byte(password))
	return v == auth.Allow
}

// TestPasswdStory edits one file from its creation on.
func TestPasswdStory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	for i, s := range []struct {
		input, args string
		code        int
		says        string
	}{
		{"x\n", "FILE alice", exitFailure, "does not exist; create it"},
		{"secret\n", "-c FILE alice", exitOK, "alice added"},
		{"secret\n", "-c FILE alice", exitFailure, "exists already"},
		{"two words\r\n", "FILE bob", exitOK, "bob added"},
		{"", "-b FILE carol hat", exitOK, "carol added"},
		{"new", "FILE alice", exitOK, "alice changed"},
		{"", "-D FILE dave", exitFailure, `no user "dave"`},
		{"", "-D FILE carol", exitOK, "carol deleted"},
		{"", "FILE dave", exitUsage, "empty"},
		{"x\n", "FILE da:ve", exitUsage, "colon"},
		{strings.Repeat("x", 70000), "FILE dave", exitUsage, "longer"},
		{"", "FILE", exitUsage, "FILE USER"},
		{"", "-b FILE dave", exitUsage, "FILE USER PASSWORD"},
		{"", "-D -c FILE dave", exitUsage, "-D"},
		{"", "-U -b FILE", exitUsage, "-U"},
		{"", "-f FILE dave", exitUsage, "-c"},
	} {
		args := strings.Fields(strings.ReplaceAll(s.args, "FILE", path))
		if out, code := passwd(t, s.input, args...); code != s.code || !strings.Contains(out, s.says) {
			t.Fatalf("step %d, passwd %s: code %d, %q; want code %d and %q", i, s.args, code, out, s.code, s.says)
		}
	}
	if !allows(t, path, "alice", "new") || allows(t, path, "alice", "secret") || !allows(t, path, "bob", "two words") || allows(t, path, "carol", "hat") {
		text, _ := os.ReadFile(path)
		t.Errorf("the file does not say what was asked for:\n%s", text)
	}
	if out, code := passwd(t, "x", "-cf", path, "zoe"); code != exitOK || allows(t, path, "alice", "new") || !allows(t, path, "zoe", "x") {
		t.Errorf("-cf does not begin anew: %d, %s", code, out)
	}
}

// TestPasswdFile: comments and order are kept, the file is private, a link
// stays a link, nothing is left behind, and a broken file is not touched.
func TestPasswdFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "passwd"), filepath.Join(dir, "link")
	hash, err := auth.HashPassword([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("# ours\nb:"+hash+"\n\n# theirs\na:"+hash+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil { // whatever the umask
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if out, code := passwd(t, "y", link, "b"); code != exitOK {
		t.Fatal(out)
	}
	text, _ := os.ReadFile(path)
	lines := strings.Split(string(text), "\n")
	if len(lines) != 6 || lines[0] != "# ours" || !strings.HasPrefix(lines[1], "b:") || lines[3] != "# theirs" || lines[4] != "a:"+hash || strings.Contains(lines[1], hash) {
		t.Errorf("the file is now\n%s", text)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o640 { // the group's reading is kept, the world's is not
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link has become %v, %v", info.Mode(), err)
	}
	if out, code := passwd(t, "y", "-c", filepath.Join(dir, "new"), "b"); code != exitOK {
		t.Fatal(out)
	}
	if info, err := os.Stat(filepath.Join(dir, "new")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new file has the mode %v, %v", info.Mode(), err)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("a:"+hash+"\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := passwd(t, "y", broken, "b"); code != exitFailure || !strings.Contains(out, broken+":2:") {
		t.Errorf("a broken file: %d, %s", code, out)
	}
	if out, code := passwd(t, "y", "-c", filepath.Join(dir, "no", "such"), "b"); code != exitEnvironment {
		t.Errorf("no such directory: %d, %s", code, out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestPasswdUpgrade hashes plain text, and once is as good as twice.
func TestPasswdUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte("# list\na:1:2\nb:x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := passwd(t, "", "-U", path); code != exitOK || !strings.Contains(out, "2 passwords hashed") {
		t.Fatalf("%d, %s", code, out)
	}
	first, _ := os.ReadFile(path)
	if out, code := passwd(t, "", "-U", path); code != exitOK || !strings.Contains(out, "0 passwords hashed") {
		t.Fatalf("the second time: %d, %s", code, out)
	}
	second, _ := os.ReadFile(path)
	if !bytes.Equal(first, second) || !allows(t, path, "a", "1:2") || !allows(t, path, "b", "x") {
		t.Errorf("the file is\n%s", second)
	}
}

// TestPasswdMosquitto edits a file that the real mosquitto_passwd made.
func TestPasswdMosquitto(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	out, err := exec.Command("mosquitto_passwd", "-c", "-b", path, "theirs", "x").CombinedOutput()
	if err != nil {
		t.Fatalf("mosquitto_passwd is needed (Debian package mosquitto): %v\n%s", err, out)
	}
	if out, code := passwd(t, "y", path, "ours"); code != exitOK {
		t.Fatal(out)
	}
	if !allows(t, path, "theirs", "x") || !allows(t, path, "ours", "y") {
		t.Errorf("one of the two users is refused")
	}
}

// TestAskPassword is the terminal's part, without a terminal.
func TestAskPassword(t *testing.T) {
	for _, c := range []struct {
		answers []string
		code    int
	}{
		{[]string{"a", "a"}, exitOK},
		{[]string{"a", "b"}, exitFailure},
		{[]string{"", ""}, exitUsage},
		{[]string{"a"}, exitFailure}, // the terminal went away
	} {
		var out bytes.Buffer
		n := 0
		got, err := askPassword(&out, "u", func() ([]byte, error) {
			if n == len(c.answers) {
				return nil, io.ErrUnexpectedEOF
			}
			n++
			return []byte(c.answers[n-1]), nil
		})
		var e *exitError
		code := exitOK
		if errors.As(err, &e) {
			code = e.code
		}
		if code != c.code || c.code == exitOK && string(got) != "a" || !strings.HasPrefix(out.String(), "Password for u: \n") {
			t.Errorf("answers %q: %q, %v, prompts %q", c.answers, got, err, out.String())
		}
	}
}
