package admin

import (
	"net/http"
	"time"
)

// LeaveOrder is the body of POST /api/v1/cluster/leave. A value.
type LeaveOrder struct {
	KillSessions   bool `json:"kill_sessions"`             // send clients away, and go on to the end
	TimeoutSeconds *int `json:"timeout_seconds,omitempty"` // for clients to come back elsewhere, before what is left is moved; 60
}

// LeaveProgress is how far a node is that leaves its cluster. A value.
type LeaveProgress struct {
	Leaving      bool      `json:"leaving"`
	Phase        string    `json:"phase"` // listeners closed, clients reconnect, moving, handing over, removal, gone; "" for none
	KillSessions bool      `json:"kill_sessions"`
	Deadline     time.Time `json:"deadline,omitzero"` // when what is left is moved by force
	Online       int       `json:"online"`            // clients that are connected
	Sessions     int       `json:"sessions"`          // that are still here
	Messages     int       `json:"messages"`          // in their queues
	Trouble      string    `json:"trouble,omitempty"` // what it waits for
}

// Adoption is the body of POST /api/v1/cluster/adopt. A value.
type Adoption struct {
	From    string       `json:"from"` // name or id of their home
	Clients []ClientName `json:"clients"`
}

// ClientName names a session in a body. A value.
type ClientName struct {
	Mountpoint string `json:"mountpoint"`
	ClientID   string `json:"client_id"`
}

// AdoptionFault is a session that was not adopted. A value.
type AdoptionFault struct {
	ClientName
	Error string `json:"error"`
}

// Adopted is the answer of POST /api/v1/cluster/adopt. A value.
type Adopted struct {
	Failed []AdoptionFault `json:"failed,omitempty"`
}

// adoptedMax bounds the sessions of one request: each has a worker.
const adoptedMax = 256

func (s *Server) postLeave() endpoint {
	return s.withCluster(func(c Cluster, r *http.Request) (any, error) {
		var o LeaveOrder
		if err := readBody(r, &o); err != nil {
			return nil, err
		}
		if o.TimeoutSeconds != nil && (*o.TimeoutSeconds < 0 || *o.TimeoutSeconds > 7*24*3600) {
			return nil, Invalid("give seconds, at most a week", "a timeout of %d seconds is not possible", *o.TimeoutSeconds)
		}
		if err := c.Leave(r.Context(), o); err != nil {
			return nil, err
		}
		return c.Leaving(), nil
	})
}

func (s *Server) getLeave() endpoint {
	return s.withCluster(func(c Cluster, _ *http.Request) (any, error) { return c.Leaving(), nil })
}

func (s *Server) deleteLeave() endpoint {
	return s.withCluster(func(c Cluster, r *http.Request) (any, error) { return Done{true}, c.AbortLeave(r.Context()) })
}

func (s *Server) postAdopt() endpoint {
	return s.withCluster(func(c Cluster, r *http.Request) (any, error) {
		var q Adoption
		if err := readBody(r, &q); err != nil {
			return nil, err
		}
		if len(q.Clients) == 0 || len(q.Clients) > adoptedMax {
			return nil, Invalid("name 1 to 256 sessions", "%d sessions are named", len(q.Clients))
		}
		failed, err := c.Adopt(r.Context(), q.From, q.Clients)
		return Adopted{failed}, err
	})
}
