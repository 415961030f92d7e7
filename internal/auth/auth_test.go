package auth

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func passwordsOf(t testing.TB, c PasswordConfig, text string) *PasswordFile {
	t.Helper()
	p := NewPasswordFile(c)
	if _, _, err := p.takeOver([]byte(text), "f"); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestAuthenticate is the table of VerneMQ's password plugin.
func TestAuthenticate(t *testing.T) {
	p := passwordsOf(t, PasswordConfig{}, sha512Line("u", "p")+"\n"+sha512Line("e", ""))
	for _, c := range []struct {
		name, user string
		password   []byte
		verdict    Verdict
		reason     Reason
	}{
		{"right", "u", []byte("p"), Allow, ReasonNone},
		{"right again", "u", []byte("p"), Allow, ReasonNone},
		{"wrong", "u", []byte("q"), Deny, ReasonBadCredentials},
		{"unknown user", "v", []byte("p"), Next, ReasonNone},
		{"no user name", "", []byte("p"), Next, ReasonNone},
		{"no password", "u", nil, Next, ReasonNone},
		{"empty password, wrong", "u", []byte{}, Deny, ReasonBadCredentials},
		{"empty password, right", "e", []byte{}, Allow, ReasonNone},
		{"case", "U", []byte("p"), Next, ReasonNone},
	} {
		v, r := p.Authenticate(t.Context(), &Client{Username: c.user}, c.password)
		if v != c.verdict || r != c.reason {
			t.Errorf("%s: %v %v, want %v %v", c.name, v, r, c.verdict, c.reason)
		}
	}
}

// TestSlowPath holds guarantees 4 and 5 by counting derivations: a wrong
// password and an unknown user always cost one of the dearest kind, a right
// password one per line of the file.
func TestSlowPath(t *testing.T) {
	dear := "d:" + mustHash(t, "p")
	p := passwordsOf(t, PasswordConfig{}, sha512Line("u", "p")+"\n"+dear)
	if d := p.users.Load().decoy; d.scheme != schemeArgon2 || d.memory != argonMemoryKiB || d.rounds != argonTime {
		t.Errorf("an unknown user is checked against %+v", d)
	}
	count := func(user, password string) uint64 {
		before := p.Derivations()
		verdictOf(p, user, password)
		return p.Derivations() - before
	}
	steps := []struct {
		user, password string
		want           uint64
	}{{"u", "p", 1}, {"u", "p", 0}, {"u", "q", 1}, {"u", "q", 1}, {"x", "p", 1}, {"x", "p", 1}, {"u", "p", 0}}
	for i, s := range steps {
		if got := count(s.user, s.password); got != s.want {
			t.Errorf("step %d, %s with %s: %d derivations, want %d", i, s.user, s.password, got, s.want)
		}
	}
	same, other := sha512Line("u", "p"), sha512Line("u", "new")
	if _, _, err := p.takeOver([]byte(same), "f"); err != nil || count("u", "p") != 0 {
		t.Errorf("a reload forgets a line that did not change")
	}
	if _, _, err := p.takeOver([]byte(other), "f"); err != nil || verdictOf(p, "u", "p") != Deny || verdictOf(p, "u", "new") != Allow {
		t.Errorf("after the password changed, the old one counts")
	}
}

// TestHashersBounded: no more derivations at a time than Hashers, no more
// waiting than WaitingMax, and no waiting beyond the context.
func TestHashersBounded(t *testing.T) {
	p := passwordsOf(t, PasswordConfig{Hashers: 2, WaitingMax: 3}, sha512Line("u", "p"))
	p.hashers <- struct{}{} // both hashers are at work
	p.hashers <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	var busy atomic.Int64
	var all sync.WaitGroup
	ask := func() {
		if v, r := p.Authenticate(ctx, &Client{Username: "u"}, []byte("p")); v == Deny && r == ReasonBusy {
			busy.Add(1)
		}
	}
	for range 3 {
		all.Go(ask)
	}
	for p.waiting.Load() < 3 { // until they wait
		if ctx.Err() != nil {
			t.Fatal("the test was stopped")
		}
		runtime.Gosched()
	}
	ask() // one too many
	if busy.Load() != 1 {
		t.Errorf("%d of 4 are refused while 3 may wait", busy.Load())
	}
	cancel()
	all.Wait()
	if busy.Load() != 4 || p.Derivations() != 0 || p.waiting.Load() != 0 {
		t.Errorf("after the end of the context %d of 4 are refused, %d derived, %d wait", busy.Load(), p.Derivations(), p.waiting.Load())
	}
	<-p.hashers
	if verdictOf(p, "u", "p") != Allow {
		t.Errorf("with a hasher free again, the right password is refused")
	}
}

// fixed answers the same to every question. Immutable.
type fixed Verdict

func (f fixed) Authenticate(context.Context, *Client, []byte) (Verdict, Reason) {
	return Verdict(f), ReasonBusy
}
func (f fixed) AuthorizePublish(*Client, []byte, uint8, bool) Verdict { return Verdict(f) }
func (f fixed) AuthorizeSubscribe(*Client, string, uint8) Verdict     { return Verdict(f) }

func TestChains(t *testing.T) {
	for _, c := range []struct {
		name   string
		links  []fixed
		want   Verdict
		reason Reason
	}{
		{"empty", nil, Deny, ReasonNotAuthorized},
		{"no opinion", []fixed{fixed(Next), fixed(Next)}, Deny, ReasonNotAuthorized},
		{"first wins", []fixed{fixed(Next), fixed(Allow), fixed(Deny)}, Allow, ReasonBusy},
		{"refusal stops", []fixed{fixed(Deny), fixed(Allow)}, Deny, ReasonBusy},
	} {
		var a AuthChain
		var p PublishChain
		var s SubscribeChain
		for _, l := range c.links {
			a, p, s = append(a, l), append(p, l), append(s, l)
		}
		v, r := a.Authenticate(t.Context(), &Client{}, nil)
		pv, sv := p.AuthorizePublish(&Client{}, nil, 0, false), s.AuthorizeSubscribe(&Client{}, "", 0)
		if v != c.want || r != c.reason || pv != c.want || sv != c.want {
			t.Errorf("%s: %v %v, %v, %v; want %v %v", c.name, v, r, pv, sv, c.want, c.reason)
		}
	}
	if v, _ := (Anyone{}).Authenticate(t.Context(), &Client{}, nil); v != Allow {
		t.Errorf("Anyone refuses")
	}
}

func TestCertificateUser(t *testing.T) {
	for _, c := range []struct {
		client Client
		user   string
		want   Verdict
	}{
		{Client{Username: "u", CommonName: "cn"}, "u", Next},
		{Client{Username: "u", CommonName: "cn", CertificateUser: true}, "cn", Allow},
		{Client{CommonName: "cn", CertificateUser: true}, "cn", Allow},
		{Client{Username: "u", CertificateUser: true}, "", Deny},
	} {
		before := c.client
		c.client.Identify()
		v, _ := CertificateUser{}.Authenticate(t.Context(), &c.client, nil)
		if v != c.want || c.client.Username != c.user {
			t.Errorf("%+v: %v as %q, want %v as %q", before, v, c.client.Username, c.want, c.user)
		}
	}
	stolen := &Client{Username: "other", CommonName: "cn", CertificateUser: true}
	if v, _ := (CertificateUser{}).Authenticate(t.Context(), stolen, nil); v != Deny {
		t.Errorf("a name that is not the certificate's is taken: %v", v)
	}
}
