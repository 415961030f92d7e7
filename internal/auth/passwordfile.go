package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"
)

// waitingMaxDefault is how many questions may wait for a hasher: at 20 ms a
// hash on one core, the last of them waits as long as a client does.
const waitingMaxDefault = 1000

// PasswordConfig says where the users are. Immutable.
type PasswordConfig struct {
	Path       string
	Interval   time.Duration // between looks at the file; 0 is never
	Hashers    int           // derivations at a time; 0 is half of the processors, at least one
	WaitingMax int           // questions that may wait for a hasher or be with one; 0 takes the default of 1000
	Log        *slog.Logger  // nil logs nothing
}

// PasswordFile authenticates by user name and password from a file. Safe for
// concurrent use: the users are an immutable table that Reload replaces.
type PasswordFile struct {
	*source
	users      atomic.Pointer[userTable]
	hashers    chan struct{}
	waiting    atomic.Int64
	waitingMax int64
	key        [sha256.Size]byte // of the digests of passwords that were right
	slow       atomic.Uint64     // derivations made
}

// userTable is the users of one reading. Immutable.
type userTable struct {
	users map[string]*user
	decoy *hash // what an unknown user is checked against, nil without users
}

// user is one user. Immutable except for known.
type user struct {
	text  string // the hash as it stands in the file
	hash  *hash
	known atomic.Pointer[[sha256.Size]byte] // keyed digest of the right password, once given
}

// NewPasswordFile returns a PasswordFile without users; Reload reads them.
func NewPasswordFile(c PasswordConfig) *PasswordFile {
	if c.Hashers <= 0 {
		c.Hashers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if c.WaitingMax <= 0 {
		c.WaitingMax = waitingMaxDefault
	}
	p := &PasswordFile{
		source:     newSource("password file", c.Path, c.Interval, c.Log),
		hashers:    make(chan struct{}, c.Hashers),
		waitingMax: int64(c.WaitingMax),
	}
	p.take = p.takeOver
	p.users.Store(&userTable{})
	_, _ = rand.Read(p.key[:]) // crypto/rand never fails: it ends the process instead
	return p
}

// Derivations returns how many slow derivations were made.
func (p *PasswordFile) Derivations() uint64 { return p.slow.Load() }

// takeOver puts a file in force. A missing one means no users, as in VerneMQ:
// deleting it is how an operator locks everyone out.
func (p *PasswordFile) takeOver(text []byte, path string) (int, string, error) {
	list, err := ParsePasswords(text, path)
	if err != nil {
		return 0, "", err
	}
	old, next := p.users.Load(), &userTable{users: make(map[string]*user, len(list.lines))}
	for _, line := range list.lines {
		if line.user == "" {
			continue
		}
		u := &user{text: line.raw[len(line.user)+1:], hash: line.hash}
		if before := old.users[line.user]; before != nil && before.text == u.text {
			u = before // keeps what is known
		}
		next.users[line.user] = u // of two lines the last one counts
		if next.decoy == nil || u.hash.cost() > next.decoy.cost() {
			next.decoy = u.hash
		}
	}
	if next.decoy != nil {
		next.decoy = next.decoy.decoy()
	}
	p.users.Store(next)
	return len(next.users), "", nil
}

// Authenticate has no opinion about a client without a user name or password
// and about one whose name is not in the file; a wrong password is a refusal.
// It takes long (see HashPassword) and must run on a worker.
func (p *PasswordFile) Authenticate(ctx context.Context, c *Client, password []byte) (Verdict, Reason) {
	if c.Username == "" || password == nil {
		return Next, ReasonNone
	}
	table := p.users.Load()
	if table.decoy == nil {
		return Next, ReasonNone // no users, nothing to hide
	}
	digest := p.digest(password)
	u := table.users[c.Username]
	if u != nil {
		if known := u.known.Load(); known != nil && hmac.Equal(known[:], digest[:]) {
			return Allow, ReasonNone
		}
	}
	if p.waiting.Add(1) > p.waitingMax {
		p.waiting.Add(-1)
		return Deny, ReasonBusy
	}
	defer p.waiting.Add(-1)
	select {
	case p.hashers <- struct{}{}:
		defer func() { <-p.hashers }()
	case <-ctx.Done():
		return Deny, ReasonBusy
	}
	h := table.decoy
	if u != nil {
		h = u.hash
	}
	p.slow.Add(1)
	right := h.verify(password)
	switch {
	case u == nil:
		return Next, ReasonNone
	case !right:
		return Deny, ReasonBadCredentials
	}
	u.known.Store(&digest)
	return Allow, ReasonNone
}

// digest is what is kept of a password that was right. The key is of this
// process, so that it is worth nothing elsewhere.
func (p *PasswordFile) digest(password []byte) (d [sha256.Size]byte) {
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write(password)
	mac.Sum(d[:0])
	return d
}
