package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// Cluster shows the cluster as this node sees it, changes its members, and
// passes requests on to other nodes.
type Cluster interface {
	View() ClusterView
	// Names are the members' names, this node's first.
	Names() []string
	// Ask puts a request to another member and waits for its answer.
	Ask(ctx context.Context, node, method, target string, body []byte) (status int, answer []byte, err error)
	Join(ctx context.Context, seeds []string) error
	// Leave begins to take this node out, or goes on to sending its clients away.
	Leave(ctx context.Context, o LeaveOrder) error
	// AbortLeave has it stay, and returns when it serves again.
	AbortLeave(ctx context.Context) error
	Leaving() LeaveProgress
	// Adopt makes this node the home of sessions without a client whose home is
	// another one; it tells those of which it is not.
	Adopt(ctx context.Context, from string, list []ClientName) ([]AdoptionFault, error)
	// TakeQueue takes in a part of a queue of a node that is no member any more.
	TakeQueue(ctx context.Context, q HandedQueue) error
	// Remove takes a member out; GivesUp says before what that gives up.
	Remove(ctx context.Context, node string, force bool) error
	GivesUp(node string, force bool) (string, error)
	// Cut rehearses a split: nothing comes from or goes to these nodes.
	Cut(nodes []string) error
}

// ClusterView is what one node sees. A value.
type ClusterView struct {
	Cluster     string          `json:"cluster"`
	Node        string          `json:"node"`
	ID          string          `json:"id"`
	Standing    string          `json:"standing"`           // alone, seeking, joined, removed
	Waits       string          `json:"waits,omitempty"`    // for what, in words
	Version     uint64          `json:"version"`            // of the member set
	Split       bool            `json:"split"`              // a member is missing
	Since       time.Time       `json:"since,omitzero"`     // of Split
	Reaches     []string        `json:"reaches"`            // itself included
	Missing     [][2]string     `json:"missing"`            // pairs that do not reach each other
	Primary     []string        `json:"primary"`            // the largest group in which everybody reaches everybody
	Majority    bool            `json:"majority"`           // this node is in a primary group of more than half
	Unproven    bool            `json:"unproven,omitempty"` // it stalled and proves its links anew
	Opened      bool            `json:"opened"`             // it knows enough of the others to admit
	Cut         []string        `json:"cut,omitempty"`      // for a rehearsal
	Gate        ClusterGate     `json:"gate"`
	Members     []ClusterMember `json:"members"`
	Connections int             `json:"connections"` // of clients
}

// ClusterGate says what is admitted. A value.
type ClusterGate struct {
	Register    bool `json:"register"`
	Publish     bool `json:"publish"`
	Subscribe   bool `json:"subscribe"`
	Unsubscribe bool `json:"unsubscribe"`
}

// ClusterMember is one member as a node sees it. A value.
type ClusterMember struct {
	Name        string    `json:"name"`
	ID          string    `json:"id"`
	State       string    `json:"state"` // joined, absent, stopped, leaving
	StateSince  time.Time `json:"state_since,omitzero"`
	Link        string    `json:"link"`
	Gossip      string    `json:"gossip"`
	Reachable   bool      `json:"reachable"` // by verdict
	Linked      bool      `json:"linked"`    // both connections stand
	LinkedSince time.Time `json:"linked_since,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	Spooled     uint64    `json:"spooled,omitempty"` // messages that wait for it on disk
	Slow        bool      `json:"slow,omitempty"`
	Segment     int       `json:"segment_bytes,omitempty"` // larger packets do not seem to pass; links use segments of this size at most
}

// ClusterSeeds is the body of POST /api/v1/cluster/join. A value.
type ClusterSeeds struct {
	Seeds []string `json:"seeds"`
}

// ClusterRemoval is the answer of a question what a removal gives up. A value.
type ClusterRemoval struct {
	GivesUp string `json:"gives_up"`
}

// ClusterCut is the body of PUT /api/v1/cluster/cut. A value.
type ClusterCut struct {
	Nodes []string `json:"nodes"`
}

// NodeAnswer is one node's answer to a request with on=all. A value.
type NodeAnswer struct {
	Node   string          `json:"node"`
	Status int             `json:"status,omitempty"`
	Answer json.RawMessage `json:"answer,omitempty"`
	Error  string          `json:"error,omitempty"` // it did not answer
}

// NodeAnswers is the answer of a request with on=all. A value.
type NodeAnswers struct {
	Nodes []NodeAnswer `json:"nodes"`
}

// withCluster is an endpoint that needs a cluster.
func (s *Server) withCluster(f func(c Cluster, r *http.Request) (any, error)) endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Cluster == nil {
			return nil, &Error{http.StatusNotImplemented, "this node is by itself", "set cluster.bind_address and cluster.secret_key and start it again to make a cluster"}
		}
		return f(s.config.Cluster, r)
	}
}

func (s *Server) getCluster() endpoint {
	return s.withCluster(func(c Cluster, _ *http.Request) (any, error) { return c.View(), nil })
}

func (s *Server) postJoin() endpoint {
	return s.withCluster(func(c Cluster, r *http.Request) (any, error) {
		var body ClusterSeeds
		if err := readBody(r, &body); err != nil {
			return nil, err
		}
		if len(body.Seeds) == 0 {
			return nil, Invalid(`send {"seeds": ["10.0.0.1:44054"]}`, "no seed is given")
		}
		return Done{true}, c.Join(r.Context(), body.Seeds)
	})
}

func (s *Server) getRemoval() endpoint {
	return s.withCluster(func(c Cluster, r *http.Request) (any, error) {
		text, err := c.GivesUp(r.PathValue("node"), r.URL.Query().Get("force") == "true")
		return ClusterRemoval{text}, err
	})
}

func (s *Server) deleteMember() endpoint {
	return s.withCluster(func(c Cluster, r *http.Request) (any, error) {
		return Done{true}, c.Remove(r.Context(), r.PathValue("node"), r.URL.Query().Get("force") == "true")
	})
}

func (s *Server) putCut() endpoint {
	return s.withCluster(func(c Cluster, r *http.Request) (any, error) {
		var body ClusterCut
		if err := readBody(r, &body); err != nil {
			return nil, err
		}
		return Done{true}, c.Cut(body.Nodes)
	})
}

// forwarded answers a request that names another node in on=, or all; false if
// it is for this one.
func (s *Server) forwarded(w http.ResponseWriter, r *http.Request) bool {
	q := r.URL.Query()
	on := q.Get("on")
	c := s.config.Cluster
	if on == "" {
		return false
	}
	if c == nil && on != "all" {
		writeError(w, Invalid("leave out on=", "this node is by itself"))
		return true
	}
	q.Del("on")
	target := r.URL.EscapedPath()
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	body := new(bytes.Buffer)
	if _, err := body.ReadFrom(r.Body); err != nil {
		writeError(w, Invalid("send less", "the body cannot be read: %v", err))
		return true
	}
	names := []string{s.config.Version.Node}
	if c != nil {
		names = c.Names()
	}
	if on == "all" {
		writeJSON(w, http.StatusOK, s.askAll(r.Context(), names, r.Method, target, body.Bytes()))
		return true
	}
	if on == names[0] {
		r.URL.RawQuery = url.Values(q).Encode()
		r.Body = readCloser{body}
		return false
	}
	status, answer, err := c.Ask(r.Context(), on, r.Method, target, body.Bytes())
	var own *Error
	if errors.As(err, &own) {
		writeError(w, own)
		return true
	}
	if err != nil {
		writeError(w, &Error{http.StatusBadGateway, err.Error(), "tombolo cluster show tells who is reached"})
		return true
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer)
	return true
}

// readCloser is a body that was read already.
type readCloser struct{ *bytes.Buffer }

// Close implements io.Closer.
func (readCloser) Close() error { return nil }

// askTimeout is how long one node may take to answer what all are asked.
const askTimeout = 5 * time.Second

// askAll puts a request to every member at once, this node included.
func (s *Server) askAll(ctx context.Context, names []string, method, target string, body []byte) NodeAnswers {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	out := NodeAnswers{Nodes: make([]NodeAnswer, len(names))}
	var wg sync.WaitGroup
	for i, name := range names {
		a := &out.Nodes[i]
		a.Node = name
		wg.Go(func() {
			var text []byte
			var err error
			if i == 0 {
				a.Status, text = s.Answer(ctx, method, target, body)
			} else {
				a.Status, text, err = s.config.Cluster.Ask(ctx, name, method, target, body)
			}
			switch {
			case err != nil:
				a.Error = err.Error()
			case !json.Valid(text):
				a.Error = "the answer is no JSON"
			default:
				a.Answer = bytes.TrimSpace(text)
			}
		})
	}
	wg.Wait()
	return out
}

// Answer answers a request as if it had come over the admin socket: members of
// a cluster trust each other with their settings.
func (s *Server) Answer(ctx context.Context, method, target string, body []byte) (status int, answer []byte) {
	d := door{socket: true, uid: os.Geteuid(), access: Access{Metrics: true, Health: true, API: true}}
	r, err := http.NewRequestWithContext(context.WithValue(ctx, doorKey{}, d), method, "http://localhost"+target, bytes.NewReader(body))
	if err != nil {
		return http.StatusBadRequest, []byte(`{"error":"not a request"}`)
	}
	w := &answerWriter{header: http.Header{}, status: http.StatusOK}
	s.handler.ServeHTTP(w, r)
	return w.status, w.body.Bytes()
}

// answerWriter keeps an answer. Owned by the one who asked.
type answerWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *answerWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *answerWriter) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(b []byte) (int, error) { return w.body.Write(b) }
