package auth

import (
	"errors"
	"fmt"
	"strings"
)

var (
	errACLWord = errors.New(`a line begins with "topic", "user", "pattern" or "#"`)
	errACLDeny = errors.New(`"deny" is not supported: the rules only grant, and what none grants is refused`)
	errACLUser = errors.New(`"user" needs a name`)
	errACLText = errors.New("the line has no filter")
)

// parseACL reads an ACL file; name is for the faults. Lines whose filter is
// not valid are skipped and told in the warning, as VerneMQ does: since rules
// only grant, less of them is safe.
//
//	topic [read|write|readwrite] <filter>    for the user above, or for everyone before the first user
//	user <name>                              the topic lines that follow belong to this user
//	pattern [read|write|readwrite] <filter>  for everyone, with %u, %c and %m as whole levels
func parseACL(text []byte, name string) (r *rules, warning string, err error) {
	r = newRules()
	user, skipped := "", 0
	for i, line := range splitLines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.Trim(line, " \t")
		if line == "" {
			continue
		}
		word, rest := cutWord(line)
		if word == "user" {
			if rest == "" {
				return nil, "", &FileFault{File: name, Line: i + 1, Err: errACLUser}
			}
			user = rest
			continue
		}
		err := r.addLine(word, rest, user)
		switch {
		case errors.Is(err, errFilter):
			if skipped == 0 {
				warning = fmt.Sprintf("line %d: %v; the line is skipped", i+1, err)
			}
			skipped++
		case err != nil:
			return nil, "", &FileFault{File: name, Line: i + 1, Err: err}
		}
	}
	if skipped > 1 {
		warning += fmt.Sprintf(", and %d others like it", skipped-1)
	}
	return r, warning, nil
}

// cutWord splits a line after its first word.
func cutWord(line string) (word, rest string) {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimLeft(line[i:], " \t")
}

// addLine takes a topic or pattern line. A filter may hold blanks, and one
// that is just "read" is a filter, not an access without one.
func (r *rules) addLine(word, rest, user string) error {
	if word != "topic" && word != "pattern" {
		return errACLWord
	}
	if rest == "" {
		return errACLText
	}
	read, write := true, true
	filter := rest
	if access, after := cutWord(rest); after != "" {
		switch access {
		case "read":
			write, filter = false, after
		case "write":
			read, filter = false, after
		case "readwrite":
			filter = after
		case "deny":
			return errACLDeny
		}
	}
	if !filterValid(filter) {
		return fmt.Errorf("%q %w", filter, errFilter)
	}
	r.count++
	if read {
		r.read.add(word == "pattern", user, filter)
	}
	if write {
		r.write.add(word == "pattern", user, filter)
	}
	return nil
}
