package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// field is one column of a session listing. Immutable.
type field struct {
	name string
	row  bool // of a subscription: asking for it gives a row for each
	get  func(*Session, *Subscription) any
}

// milliseconds gives a time as VerneMQ does, nil when there is none.
func milliseconds(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

var fields = []field{
	{"node", false, func(s *Session, _ *Subscription) any { return s.Node }},
	{"mountpoint", false, func(s *Session, _ *Subscription) any { return s.Mountpoint }},
	{"client_id", false, func(s *Session, _ *Subscription) any { return s.ClientID }},
	{"user", false, func(s *Session, _ *Subscription) any { return s.User }},
	{"peer_host", false, func(s *Session, _ *Subscription) any { return s.PeerHost }},
	{"peer_port", false, func(s *Session, _ *Subscription) any { return s.PeerPort }},
	{"listener", false, func(s *Session, _ *Subscription) any { return s.Listener }},
	{"protocol", false, func(s *Session, _ *Subscription) any { return s.Protocol }},
	{"is_online", false, func(s *Session, _ *Subscription) any { return s.IsOnline }},
	{"is_offline", false, func(s *Session, _ *Subscription) any { return !s.IsOnline }},
	{"clean_session", false, func(s *Session, _ *Subscription) any { return s.CleanSession }},
	{"statename", false, func(s *Session, _ *Subscription) any { return s.StateName }},
	{"queue_size", false, func(s *Session, _ *Subscription) any { return s.QueueSize }},
	{"offline_messages", false, func(s *Session, _ *Subscription) any { return s.OfflineMessages }},
	{"online_messages", false, func(s *Session, _ *Subscription) any { return s.OnlineMessages }},
	{"waiting_acks", false, func(s *Session, _ *Subscription) any { return s.WaitingAcks }},
	{"session_started_at", false, func(s *Session, _ *Subscription) any { return milliseconds(s.SessionStartedAt) }},
	{"queue_started_at", false, func(s *Session, _ *Subscription) any { return milliseconds(s.QueueStartedAt) }},
	{"expires_at", false, func(s *Session, _ *Subscription) any { return milliseconds(s.ExpiresAt) }},
	{"subscriptions", false, func(s *Session, _ *Subscription) any { return len(s.Subscriptions) }},
	{"topic", true, func(_ *Session, s *Subscription) any { return s.Filter }},
	{"qos", true, func(_ *Session, s *Subscription) any { return s.QoS }},
	{"no_local", true, func(_ *Session, s *Subscription) any { return s.NoLocal }},
	{"rap", true, func(_ *Session, s *Subscription) any { return s.RetainAsPublished }},
}

// defaultFields are VerneMQ's default columns.
var defaultFields = []string{"client_id", "is_online", "mountpoint", "peer_host", "peer_port", "user"}

// SessionFields lists the columns by name, those of subscriptions last.
func SessionFields() []string {
	out := make([]string, 0, len(fields))
	for _, f := range fields {
		out = append(out, f.name)
	}
	return out
}

// condition is one filter of a listing. Immutable.
type condition struct {
	field field
	value string
	match *regexp.Regexp // nil: equal to value
}

func (c condition) holds(v any) bool {
	text := fmt.Sprint(v)
	if v == nil {
		text = "null"
	}
	if c.match != nil {
		return c.match.MatchString(text)
	}
	return text == c.value
}

// listing is a session query as asked for. Immutable once parsed.
type listing struct {
	columns    []field
	conditions []condition
	limit      int
	query      SessionQuery
	rows       bool // one row a subscription
}

// parseListing reads the query parameters of GET /api/v1/sessions.
func parseListing(r *http.Request) (listing, error) {
	var l listing
	var err error
	if l.limit, err = limitOf(r); err != nil {
		return l, err
	}
	q := r.URL.Query()
	columns := defaultFields
	if v := q.Get("fields"); v != "" {
		columns = strings.Split(v, ",")
	}
	for _, c := range columns {
		f, err := l.use(c)
		if err != nil {
			return l, err
		}
		l.columns = append(l.columns, f)
	}
	for name := range q {
		if name == "fields" || name == "limit" {
			continue
		}
		if err := l.addCondition(name, q[name]); err != nil {
			return l, err
		}
	}
	sort.Slice(l.conditions, func(i, j int) bool { return l.conditions[i].field.name < l.conditions[j].field.name })
	l.query.Exact = exactName(q)
	return l, nil
}

func (l *listing) addCondition(name string, values []string) error {
	f, err := l.use(name)
	if err != nil {
		return err
	}
	for _, v := range values {
		c := condition{field: f, value: v}
		if expr, ok := strings.CutPrefix(v, "~"); ok {
			m, err := regexp.Compile(expr)
			if err != nil {
				return Invalid("the syntax is that of Go's regexp package", "%s: %v", name, err)
			}
			c.match = m
		}
		l.conditions = append(l.conditions, c)
	}
	return nil
}

// use finds a field by name and notes what it needs.
func (l *listing) use(name string) (field, error) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, Invalid("the fields are "+strings.Join(SessionFields(), ", "), "a session has no field %q", name)
	}
	l.rows = l.rows || fields[i].row
	l.query.Subscriptions = l.query.Subscriptions || fields[i].row || name == "subscriptions"
	return fields[i], nil
}

// exactName spares the walk over all sessions when one is asked for by name.
// Without a mountpoint several sessions may match, so that is a walk.
func exactName(q url.Values) *SessionName {
	id := q["client_id"]
	if len(id) != 1 || strings.HasPrefix(id[0], "~") || len(q["mountpoint"]) != 1 || strings.HasPrefix(q.Get("mountpoint"), "~") {
		return nil
	}
	return &SessionName{Mountpoint: q.Get("mountpoint"), ClientID: id[0]}
}

// rowsOf gives the rows of one session that meet all conditions.
func (l *listing) rowsOf(s *Session) []map[string]any {
	subs := []Subscription{{}}
	if l.rows {
		subs = s.Subscriptions
	}
	var out []map[string]any
	for i := range subs {
		if slices.ContainsFunc(l.conditions, func(c condition) bool { return !c.holds(c.field.get(s, &subs[i])) }) {
			continue
		}
		row := make(map[string]any, len(l.columns))
		for _, c := range l.columns {
			row[c.name] = c.get(s, &subs[i])
		}
		out = append(out, row)
	}
	return out
}

// SessionList is the answer of GET /api/v1/sessions. A value.
type SessionList struct {
	Fields    []string         `json:"fields"` // in the order asked for
	Sessions  []map[string]any `json:"sessions"`
	Truncated bool             `json:"truncated"`
}

func (s *Server) getSessions() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Sessions == nil {
			return nil, missing("its sessions")
		}
		l, err := parseListing(r)
		if err != nil {
			return nil, err
		}
		out := SessionList{Fields: []string{}, Sessions: []map[string]any{}}
		for _, c := range l.columns {
			out.Fields = append(out.Fields, c.name)
		}
		s.config.Sessions.Sessions(l.query, func(one Session) bool {
			rows := l.rowsOf(&one)
			if room := l.limit - len(out.Sessions); len(rows) > room {
				rows, out.Truncated = rows[:room], true
			}
			out.Sessions = append(out.Sessions, rows...)
			return !out.Truncated && r.Context().Err() == nil
		})
		return out, r.Context().Err()
	}
}

func (s *Server) deleteSession() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Sessions == nil {
			return nil, missing("its sessions")
		}
		name, err := sessionName(r.URL.Query())
		if err != nil {
			return nil, err
		}
		cleanup := false
		if v := r.URL.Query().Get("cleanup"); v != "" {
			if cleanup, err = strconv.ParseBool(v); err != nil {
				return nil, Invalid("use cleanup=true or cleanup=false", "cleanup %q is not understood", v)
			}
		}
		found, err := s.config.Sessions.Disconnect(r.Context(), name, cleanup)
		if err == nil && !found {
			err = NotFound("tombolo session show lists them", "there is no session %q under mountpoint %q", name.ClientID, name.Mountpoint)
		}
		return Done{true}, err
	}
}

// sessionName reads which session is meant.
func sessionName(q url.Values) (SessionName, error) {
	name := SessionName{Mountpoint: q.Get("mountpoint"), ClientID: q.Get("client_id")}
	if name.ClientID == "" {
		return name, Invalid("add ?client_id=…", "no client id is given")
	}
	return name, nil
}

func (s *Server) getMoving() endpoint {
	return func(*http.Request) (any, error) {
		if s.config.Sessions == nil {
			return nil, missing("its sessions")
		}
		return MovingList{append([]MovingQueue{}, s.config.Sessions.Moving()...)}, nil
	}
}

func (s *Server) getOrphans() endpoint {
	return func(*http.Request) (any, error) {
		if s.config.Sessions == nil {
			return nil, missing("its sessions")
		}
		list, err := s.config.Sessions.Orphans()
		return OrphanList{append([]Orphan{}, list...)}, err
	}
}

func (s *Server) deleteOrphan() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Sessions == nil {
			return nil, missing("its sessions")
		}
		name, err := sessionName(r.URL.Query())
		if err != nil {
			return nil, err
		}
		found, err := s.config.Sessions.DiscardOrphan(name)
		if err == nil && !found {
			err = NotFound("tombolo queue orphans lists them", "there is no orphaned queue of %q under mountpoint %q", name.ClientID, name.Mountpoint)
		}
		return Done{true}, err
	}
}
