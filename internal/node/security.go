package node

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/auth"
	"tombolo/internal/log"
	"tombolo/internal/option"
	"tombolo/mqtt/broker"
	"tombolo/mqtt/packet"
)

// hintEvery is how often one hint about refused clients is logged.
const hintEvery = time.Minute

// security asks the authenticators and authorizers that are configured, in
// order. Immutable once open has returned; safe for concurrent use.
type security struct {
	n         *Node
	passwords *auth.PasswordFile // nil: plugins.vmq_passwd is off
	acl       *auth.ACLFile      // nil: plugins.vmq_acl is off
	all       *chains            // every source that is configured
	hints     *log.Limiter
	// unruled: no ACL file was named and there is none at the default path, so
	// everything is allowed to whoever may connect, as in Mosquitto.
	unruled atomic.Bool
}

func newSecurity(n *Node) *security {
	return &security{n: n, hints: log.NewLimiter(hintEvery, 8, time.Now)}
}

// open builds the chains and reads the files once. A file that is missing is
// not an error: it may come later, and refused clients are told about in the
// log.
func (s *security) open() error {
	set, logger := s.n.set, s.n.log.For("auth")
	if set.Bool("plugins.vmq_passwd") {
		s.passwords = auth.NewPasswordFile(auth.PasswordConfig{
			Path: set.String("vmq_passwd.password_file"), Interval: set.Duration("vmq_passwd.password_reload_interval"), Log: logger,
		})
	}
	if !s.n.cfg.AllowAll && set.Bool("plugins.vmq_acl") {
		s.acl = auth.NewACLFile(auth.ACLConfig{
			Path: set.String("vmq_acl.acl_file"), Interval: set.Duration("vmq_acl.acl_reload_interval"), Log: logger,
		})
	}
	s.all = s.chains(nil, nil)
	err := s.reload()
	s.judgeRules()
	if s.unruled.Load() {
		logger.Warn("there is no ACL file: whoever may connect may publish and subscribe to everything", "acl_file", s.acl.State().Path)
	} else if err != nil {
		logger.Warn("not every file of users and rules could be read", "error", err)
	}
	if set.Bool("allow_anonymous") && !s.n.cfg.AllowAll {
		logger.Warn("allow_anonymous is on: everyone who reaches a listener may connect")
	}
	return nil
}

// Names of the sources in auth_plugins and authz_plugins.
const (
	passwordPlugin = "vmq_passwd"
	aclPlugin      = "vmq_acl"
)

// chainsFor gives a listener what its auth_plugins and authz_plugins name.
func (s *security) chainsFor(l *option.Listener) *chains {
	return s.chains(l.AuthPlugins, l.AuthzPlugins)
}

// chains builds the chains of the named sources, in order; nil names all that
// are configured.
func (s *security) chains(authn, authz []string) *chains {
	c := &chains{s: s, clients: auth.AuthChain{auth.CertificateUser{}}}
	if authn == nil {
		authn = []string{passwordPlugin}
	}
	if authz == nil {
		authz = []string{aclPlugin}
	}
	for _, name := range authn {
		if name == passwordPlugin && s.passwords != nil {
			c.clients = append(c.clients, s.passwords)
		}
	}
	for _, name := range authz {
		if name == aclPlugin && s.acl != nil {
			c.publishes = append(c.publishes, s.acl)
			c.subscribes = append(c.subscribes, s.acl)
		}
	}
	return c
}

// reload reads both files now. A file that is missing where nobody said that
// there is one is no fault: it counts as empty.
func (s *security) reload() error {
	var errs []error
	read := func(key string, f func() error) {
		if err := f(); s.n.set.IsSet(key) || !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if s.passwords != nil {
		read("vmq_passwd.password_file", s.passwords.Reload)
	}
	if s.acl != nil {
		read("vmq_acl.acl_file", s.acl.Reload)
	}
	return errors.Join(errs...)
}

// judgeRules finds out whether there are rules to be held to. Once an ACL file
// has been read, they hold for good.
func (s *security) judgeRules() {
	s.unruled.Store(s.acl != nil && !s.n.set.IsSet("vmq_acl.acl_file") && !s.acl.State().Read)
}

// watchRules looks for the ACL file to appear.
func (s *security) watchRules(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for s.unruled.Load() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.judgeRules()
		}
	}
}

// changed follows options that were set at run time.
func (s *security) changed() {
	set := s.n.set
	if s.passwords != nil {
		s.passwords.SetPath(set.String("vmq_passwd.password_file"))
		s.passwords.SetInterval(set.Duration("vmq_passwd.password_reload_interval"))
	}
	if s.acl != nil {
		s.acl.SetPath(set.String("vmq_acl.acl_file"))
		s.acl.SetInterval(set.Duration("vmq_acl.acl_reload_interval"))
	}
}

// run looks at the files from time to time until ctx ends.
func (s *security) run(ctx context.Context) error {
	var wg sync.WaitGroup
	var errs [2]error
	if s.passwords != nil {
		wg.Add(1)
		go func() { defer wg.Done(); errs[0] = s.passwords.Run(ctx) }()
	}
	if s.acl != nil {
		wg.Add(2)
		go func() { defer wg.Done(); s.watchRules(ctx) }()
		go func() { defer wg.Done(); errs[1] = s.acl.Run(ctx) }()
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errs[:]...)
}

func authClient(id *broker.Identity) auth.Client {
	return auth.Client{
		Mountpoint: id.Mountpoint, ClientID: id.ClientID, Username: id.Username, Peer: id.Peer,
		Listener: id.Listener, CommonName: id.CommonName, CertificateUser: id.CertificateUser,
	}
}

// chains are the sources that one listener asks. Immutable.
type chains struct {
	s          *security
	clients    auth.AuthChain
	publishes  auth.PublishChain
	subscribes auth.SubscribeChain
}

// Authenticate implements broker.Authenticator.
func (ch *chains) Authenticate(ctx context.Context, id *broker.Identity, password []byte) broker.Verdict {
	c := authClient(id)
	v, why := ch.clients.Authenticate(ctx, &c, password)
	if v == auth.Allow {
		return broker.Verdict{}
	}
	ch.s.hintUsers()
	switch why {
	case auth.ReasonBadCredentials:
		return broker.Verdict{Reason: packet.BadUsernameOrPassword, Detail: "user name or password is wrong"}
	case auth.ReasonBusy:
		return broker.Verdict{Reason: packet.ServerBusy, Detail: "too many clients are being authenticated"}
	case auth.ReasonUnavailable:
		return broker.Verdict{Reason: packet.ServerUnavailable, Detail: "authentication is not available"}
	}
	return broker.Verdict{Reason: packet.NotAuthorized, Detail: "not authorized to connect"}
}

// hintUsers says, once in a while, why nobody can get in.
func (s *security) hintUsers() {
	if s.passwords == nil {
		return
	}
	if st := s.passwords.State(); st.Missing || st.Entries == 0 {
		s.hints.Log(s.n.log.For("auth"), log.LevelError, "users",
			"every client is refused, because there are no users: create the password file with: tombolo passwd -c "+st.Path+" USER (or set allow_anonymous = on)",
			"password_file", st.Path, "missing", st.Missing)
	}
}

// hintRules does the same for rules.
func (s *security) hintRules() {
	if s.acl == nil {
		return
	}
	if st := s.acl.State(); st.Entries == 0 {
		s.hints.Log(s.n.log.For("auth"), log.LevelError, "rules",
			"every publish and subscribe is refused, because there are no rules: write the ACL file; the line 'topic #' allows all to everyone",
			"acl_file", st.Path, "missing", st.Missing)
	}
}

// clientRules is what one client may do. Immutable.
type clientRules struct {
	*chains
	c auth.Client
}

// MayPublish implements broker.Rules.
func (r *clientRules) MayPublish(topic []byte, qos uint8, retain bool) bool {
	if r.s.unruled.Load() || r.publishes.AuthorizePublish(&r.c, topic, qos, retain) == auth.Allow {
		return true
	}
	r.s.hintRules()
	return false
}

// MaySubscribe implements broker.Rules.
func (r *clientRules) MaySubscribe(filter string, qos uint8) bool {
	if r.s.unruled.Load() || r.subscribes.AuthorizeSubscribe(&r.c, filter, qos) == auth.Allow {
		return true
	}
	r.s.hintRules()
	return false
}

// RulesFor implements broker.Authorizer.
func (ch *chains) RulesFor(id *broker.Identity) broker.Rules {
	if ch.s.n.cfg.AllowAll {
		return nil
	}
	return &clientRules{chains: ch, c: authClient(id)}
}
