package auth

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// FileFault is what is wrong with a file, and where. Immutable.
type FileFault struct {
	File string
	Line int // from 1
	Err  error
}

func (f *FileFault) Error() string { return fmt.Sprintf("%s:%d: %v", f.File, f.Line, f.Err) }
func (f *FileFault) Unwrap() error { return f.Err }

// PasswordList is a password file as text: its lines in order, comments
// included, so that an edit changes one line and no other. Owned by one
// goroutine.
type PasswordList struct {
	lines []passwordLine
}

// passwordLine is one line; user is "" for a comment or an empty line.
type passwordLine struct {
	raw  string
	user string
	hash *hash
}

var (
	errNoColon   = errors.New("a line is <user>:<hash>; the colon is missing")
	errNoUser    = errors.New("a line is <user>:<hash>; the user name is missing")
	errBadUser   = errors.New("a user name has at least one character, no colon and no line end, and does not begin with '#' or a blank")
	errTooLarge  = fmt.Errorf("the file is larger than %d bytes", fileBytesMax)
	errPlainText = errors.New("a plain text line is <user>:<password>; one of the two is missing")
)

// ParsePasswords reads a password file; name is for the faults.
func ParsePasswords(text []byte, name string) (*PasswordList, error) {
	l := &PasswordList{}
	for i, raw := range splitLines(text) {
		line := passwordLine{raw: raw}
		if !isComment(raw) {
			user, text, ok := strings.Cut(raw, ":")
			err := error(nil)
			switch {
			case !ok:
				err = errNoColon
			case user == "":
				err = errNoUser
			default:
				line.user = user
				line.hash, err = parseHash(text)
			}
			if err != nil {
				return nil, &FileFault{File: name, Line: i + 1, Err: err}
			}
		}
		l.lines = append(l.lines, line)
	}
	return l, nil
}

// splitLines cuts at LF, drops CRs before it, and does not count the nothing
// after the last LF as a line.
func splitLines(text []byte) []string {
	lines := strings.Split(string(text), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], "\r")
	}
	return lines
}

// isComment reports whether a line of the password file says nothing.
func isComment(raw string) bool { return strings.TrimSpace(raw) == "" || raw[0] == '#' }

// CheckUser says what is wrong with a user name for the password file.
func CheckUser(user string) error {
	if user == "" || strings.ContainsAny(user, ":\n\r\x00") || user[0] == '#' || strings.TrimSpace(user) != user {
		return errBadUser
	}
	return nil
}

// Set gives a user a hash made by HashPassword, in the place of the old one
// or at the end, and reports whether there was an old one.
func (l *PasswordList) Set(user, text string) (replaced bool, err error) {
	if err := CheckUser(user); err != nil {
		return false, err
	}
	h, err := parseHash(text)
	if err != nil {
		return false, err
	}
	line := passwordLine{raw: user + ":" + text, user: user, hash: h}
	kept := l.lines[:0]
	for _, old := range l.lines {
		switch {
		case old.user != user:
			kept = append(kept, old)
		case !replaced:
			kept = append(kept, line)
			replaced = true
		} // a second line of the same user goes
	}
	l.lines = kept
	if !replaced {
		l.lines = append(l.lines, line)
	}
	return replaced, nil
}

// Delete removes a user and reports whether there was one.
func (l *PasswordList) Delete(user string) bool {
	kept, found := l.lines[:0], false
	for _, old := range l.lines {
		if old.user == user && user != "" {
			found = true
			continue
		}
		kept = append(kept, old)
	}
	l.lines = kept
	return found
}

// Bytes returns the file.
func (l *PasswordList) Bytes() []byte {
	var b bytes.Buffer
	for _, line := range l.lines {
		b.WriteString(line.raw)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// HashPlain turns a file of <user>:<password> lines into a password file and
// says how many it hashed. Lines that hold a hash already stay as they are,
// so that doing it twice does no harm.
func HashPlain(text []byte, name string) (out []byte, hashed int, err error) {
	var b bytes.Buffer
	for i, raw := range splitLines(text) {
		if !isComment(raw) {
			user, password, ok := strings.Cut(raw, ":")
			if !ok || password == "" {
				return nil, 0, &FileFault{File: name, Line: i + 1, Err: errPlainText}
			}
			if err := CheckUser(user); err != nil {
				return nil, 0, &FileFault{File: name, Line: i + 1, Err: err}
			}
			if _, err := parseHash(password); err != nil {
				text, err := HashPassword([]byte(password))
				if err != nil {
					return nil, 0, err
				}
				raw = user + ":" + text
				hashed++
			}
		}
		b.WriteString(raw)
		b.WriteByte('\n')
	}
	return b.Bytes(), hashed, nil
}
