package auth

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sha512Line is what vmq-passwd and Mosquitto 1.x write: one round over the
// password followed by the salt.
func sha512Line(user, password string) string {
	salt := []byte("twelve bytes")
	sum := sha512.Sum512(append([]byte(password), salt...))
	b64 := base64.StdEncoding
	return user + ":$6$" + b64.EncodeToString(salt) + "$" + b64.EncodeToString(sum[:])
}

func mustHash(t testing.TB, password string) string {
	t.Helper()
	text, err := HashPassword([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestPasswordGrammar is the golden table of the lines of a password file.
func TestPasswordGrammar(t *testing.T) {
	good := sha512Line("u", "p")[2:]
	digest := good[strings.LastIndex(good, "$")+1:]
	salt := base64.StdEncoding.EncodeToString([]byte("salt"))
	for _, c := range []struct {
		name, text string
		users      string // in order, "" with a fault
		line       int    // of the fault
	}{
		{"nothing", "", "", 0},
		{"one", "u:" + good + "\n", "u", 0},
		{"no line end at the end", "u:" + good, "u", 0},
		{"CRLF", "u:" + good + "\r\nv:" + good + "\r\n", "u v", 0},
		{"empty lines and comments", "\n# of ours\n\nu:" + good + "\n  \n", "u", 0},
		{"blanks in a name are of the name", "a b :" + good, "a b ", 0},
		{"twice", "u:" + good + "\nu:" + good, "u u", 0},
		{"$7$", "u:$7$101$" + salt + "$" + digest, "u", 0},
		{"argon2id", "u:" + mustHash(t, "p"), "u", 0},
		{"no colon", "u:" + good + "\nuser\n", "", 2},
		{"no user", ":" + good, "", 1},
		{"plain text", "\nu:secret", "", 2},
		{"no hash", "u:", "", 1},
		{"unknown tag", "u:$1$" + salt + "$" + digest, "", 1},
		{"salt not base64", "u:$6$!!$" + digest, "", 1},
		{"no salt", "u:$6$$" + digest, "", 1},
		{"short digest", "u:$6$" + salt + "$" + salt, "", 1},
		{"no iterations", "u:$7$0$" + salt + "$" + digest, "", 1},
		{"too many iterations", "u:$7$4000000000$" + salt + "$" + digest, "", 1},
		{"negative iterations", "u:$7$-1$" + salt + "$" + digest, "", 1},
		{"argon2i", "u:$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 43), "", 1},
		{"argon2 version", "u:$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 43), "", 1},
		{"argon2 of a terabyte", "u:$argon2id$v=19$m=1073741824,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 43), "", 1},
		{"argon2 of no passes", "u:$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 43), "", 1},
		{"argon2 out of order", "u:$argon2id$v=19$t=1,m=64,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 43), "", 1},
	} {
		list, err := ParsePasswords([]byte(c.text), "f")
		if c.line > 0 {
			var fault *FileFault
			if !errors.As(err, &fault) || fault.Line != c.line || !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("%s: the error is %v, want one in line %d", c.name, err, c.line)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var users []string
		for _, l := range list.lines {
			if l.user != "" {
				users = append(users, l.user)
			}
		}
		if got := strings.Join(users, " "); got != c.users {
			t.Errorf("%s: users %q, want %q", c.name, got, c.users)
		}
	}
}

// TestSchemes verifies hashes that others made and that we made.
func TestSchemes(t *testing.T) {
	for _, c := range []struct{ name, hash, password string }{
		{"VerneMQ", sha512Line("u", "p@ss")[2:], "p@ss"},
		{"Mosquitto 1.x", "$6$9QNKfth9fKcEDhiT$5e5F2wzCqcbRwaqk9dS3py4v4oI4ZlGoHIk7j1tgcB6+ZniXr7IQH0iF/+qdZNARCsgI4Mpz81EBthxltXyg0A==", "secret"},
		{"Mosquitto 2.x", "$7$101$heoL17wYDP35rCME$7ZfUUVjD26cIgm+DUJ+BjMkKUbHmfJa/TRvWBoaX3TOAU8t3YImJOvuJizat8beu3ZDTXbldXp8WRj8guGQBLQ==", "secret"},
		{"ours", mustHash(t, "hat"), "hat"},
		{"ours, empty", mustHash(t, ""), ""},
	} {
		h, err := parseHash(c.hash)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !h.verify([]byte(c.password)) {
			t.Errorf("%s: the right password is refused", c.name)
		}
		if h.verify([]byte(c.password+"x")) || h.decoy().verify([]byte(c.password)) {
			t.Errorf("%s: a wrong password is taken", c.name)
		}
	}
	if a, b := mustHash(t, "p"), mustHash(t, "p"); a == b || !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("two hashes of one password: %s and %s", a, b)
	}
}

// TestMosquittoPasswd reads what the real mosquitto_passwd writes.
func TestMosquittoPasswd(t *testing.T) {
	tool, err := exec.LookPath("mosquitto_passwd")
	if err != nil {
		t.Fatal("mosquitto_passwd is needed to prove that its files are read; install the Debian package mosquitto")
	}
	file := filepath.Join(t.TempDir(), "passwd")
	for i, args := range [][]string{
		{"-c", "-b", file, "new", "sécret"},
		{"-b", "-H", "sha512", file, "old", "p w"},
		{"-b", "-H", "sha512-pbkdf2", file, "new2", "$7$x"},
	} {
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd, call %d: %v\n%s", i, err, out)
		}
	}
	p := NewPasswordFile(PasswordConfig{Path: file})
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	for user, password := range map[string]string{"new": "sécret", "old": "p w", "new2": "$7$x"} {
		c := &Client{Username: user}
		if v, _ := p.Authenticate(t.Context(), c, []byte(password)); v != Allow {
			t.Errorf("%s with the right password: %v", user, v)
		}
		if v, r := p.Authenticate(t.Context(), c, []byte("wrong")); v != Deny || r != ReasonBadCredentials {
			t.Errorf("%s with a wrong password: %v, %v", user, v, r)
		}
	}
}

// TestEdit: an edit changes one line, keeps comments and order.
func TestEdit(t *testing.T) {
	hash := sha512Line("", "p")[1:]
	text := "# head\n\na:" + hash + "\nb:" + hash + "\n# tail\na:" + hash + "\n"
	list, err := ParsePasswords([]byte(text), "f")
	if err != nil {
		t.Fatal(err)
	}
	other := mustHash(t, "q")
	if replaced, err := list.Set("a", other); !replaced || err != nil {
		t.Errorf("Set of a user who is there: %v, %v", replaced, err)
	}
	if replaced, err := list.Set("c", other); replaced || err != nil {
		t.Errorf("Set of a new user: %v, %v", replaced, err)
	}
	if !list.Delete("b") || list.Delete("b") || list.Delete("") {
		t.Errorf("Delete does not remove b once")
	}
	if got, want := string(list.Bytes()), "# head\n\na:"+other+"\n# tail\nc:"+other+"\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, user := range []string{"", "a:b", "#a", "a\nb", " a", "a\r"} {
		if _, err := list.Set(user, other); err == nil {
			t.Errorf("Set takes the user %q", user)
		}
	}
	if _, err := list.Set("d", "plain"); err == nil {
		t.Errorf("Set takes plain text for a hash")
	}
}

func TestHashPlain(t *testing.T) {
	keep := sha512Line("old", "p")
	out, n, err := HashPlain([]byte("# x\nu:pa:ss\n"+keep+"\n"), "f")
	if err != nil || n != 1 {
		t.Fatalf("HashPlain: %d, %v", n, err)
	}
	list, err := ParsePasswords(out, "f")
	if err != nil || !bytes.HasPrefix(out, []byte("# x\nu:$argon2id$")) || !bytes.HasSuffix(out, []byte(keep+"\n")) {
		t.Fatalf("%v in\n%s", err, out)
	}
	if !list.lines[1].hash.verify([]byte("pa:ss")) {
		t.Errorf("the hashed password is not the one of the line")
	}
	for _, bad := range []string{"user", "u:", ":p", "a:b\n c:d"} {
		if _, _, err := HashPlain([]byte(bad), "f"); err == nil {
			t.Errorf("HashPlain takes %q", bad)
		}
	}
}

func FuzzPasswords(f *testing.F) {
	f.Add([]byte("# c\n" + sha512Line("u", "p") + "\r\n\n"))
	f.Add([]byte("u:$7$101$c2FsdA==$AAAA\n"))
	f.Add([]byte("u:$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 43)))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := ParsePasswords(text, "f")
		if err != nil {
			return
		}
		again, err := ParsePasswords(list.Bytes(), "f")
		if err != nil || !bytes.Equal(again.Bytes(), list.Bytes()) {
			t.Fatalf("%q is written as %q, which reads as %q, %v", text, list.Bytes(), again.Bytes(), err)
		}
		for _, l := range list.lines {
			if h := l.hash; h != nil && (len(h.digest) < keyBytesMin || len(h.salt) == 0 || h.memory > argonMemoryKiBMax || h.rounds > iterationsMax) {
				t.Fatalf("%q passes as a hash", l.raw)
			}
		}
	})
}
