package admin

import (
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
)

// endpoint answers one method of one API path. The value it returns is sent as
// JSON; the error in the one shape.
type endpoint func(r *http.Request) (any, error)

// Route describes one method of one path, for the server and for the page
// docs/http-api.md. Immutable.
type Route struct {
	Method string
	Path   string
	Query  string // parameters with their meaning
	Doc    string // one sentence
	answer func(s *Server) endpoint
}

// Routes lists the API in the order of the documentation.
func Routes() []Route { return slices.Clone(routeTable) }

var routeTable = []Route{
	{"GET", "/api/v1/version", "", "What runs here: version, revision, Go version.", (*Server).getVersion},
	{"GET", "/api/v1/status", "", "The node at a glance.", (*Server).getStatus},
	{"GET", "/api/v1/options", "hidden=true", "All settings with value, default and origin; secrets are masked.", (*Server).getOptions},
	{"GET", "/api/v1/options/{key}", "", "One setting.", (*Server).getOption},
	{"PUT", "/api/v1/options/{key}", "", `Change a setting that may change at run time; body {"value": "…"}.`, (*Server).putOption},
	{"GET", "/api/v1/log/levels", "", "The common log level and that of each subsystem.", (*Server).getLevels},
	{"PUT", "/api/v1/log/levels", "", `Change levels; body {"levels": [{"subsystem": "mqtt", "level": "debug"}]}; subsystem "" is the common level, level "" follows it again.`, (*Server).putLevels},
	{"GET", "/api/v1/sessions", "limit=100, fields=a,b, any field as filter: field=value or field=~regular-expression", "Sessions; a field of a subscription gives one row a subscription.", (*Server).getSessions},
	{"DELETE", "/api/v1/sessions", "client_id, mountpoint, cleanup=true", "End the connection of a session and, with cleanup, discard the session.", (*Server).deleteSession},
	{"GET", "/api/v1/queues/moving", "", "Queues that are on their way from this node to the new home of their session: how much was sent, how much is left.", (*Server).getMoving},
	{"GET", "/api/v1/queues/orphaned", "", "Stored queues of which no session is known: each is served when its session turns up, and dropped when it has not by the time given.", (*Server).getOrphans},
	{"DELETE", "/api/v1/queues/orphaned", "client_id, mountpoint", "Drop one of them now.", (*Server).deleteOrphan},
	{"POST", PathHanded, "", "Take in a part of the queue of a node that is no member any more, for the home of its session; tombolo queue hand-over sends it. Answers 410 if the session has ended; body " + `{"node": "<id>", "part": "<a migration frame in base64>"}.`, (*Server).postHanded},
	{"GET", "/api/v1/subscriptions", "topic, mountpoint", "Who would receive a message published to the topic.", (*Server).getSubscribers},
	{"GET", "/api/v1/retained", "filter, mountpoint, limit=100", "Retained messages; payloads in base64.", (*Server).getRetained},
	{"DELETE", "/api/v1/retained", "topic, mountpoint", "Delete one retained message.", (*Server).deleteRetained},
	{"GET", "/api/v1/listeners", "", "Listeners with state and connections.", (*Server).getListeners},
	{"GET", "/api/v1/metrics", "filter", "Metrics with their descriptions; filter is a part of the name.", (*Server).getMetrics},
	{"GET", "/api/v1/cluster", "", "The cluster as this node sees it: members, links, verdict and gate.", (*Server).getCluster},
	{"POST", "/api/v1/cluster/join", "", `Make this node a member of the cluster of others; body {"seeds": ["10.0.0.1:44054"]}.`, (*Server).postJoin},
	{"POST", "/api/v1/cluster/leave", "", `Take this node out of the cluster for good: its listeners close and, with kill_sessions, its clients are sent away, its sessions move to the others and its process ends; body {"kill_sessions": true, "timeout_seconds": 60}.`, (*Server).postLeave},
	{"GET", "/api/v1/cluster/leave", "", "How far that is: phase, sessions and messages that are left.", (*Server).getLeave},
	{"DELETE", "/api/v1/cluster/leave", "", "Abort it: the node is joined again and opens its listeners.", (*Server).deleteLeave},
	{"POST", "/api/v1/cluster/adopt", "", `Make this node the home of sessions without a client whose home is another member; members ask it of each other; body {"from": "node1", "clients": [{"mountpoint": "", "client_id": "c1"}]}.`, (*Server).postAdopt},
	{"GET", "/api/v1/cluster/members/{node}/removal", "force=true", "What removing a member gives up, in words.", (*Server).getRemoval},
	{"DELETE", "/api/v1/cluster/members/{node}", "force=true", "Take a member out of the set for good; force does it without a majority.", (*Server).deleteMember},
	{"PUT", "/api/v1/cluster/cut", "", `Rehearse a split: drop everything from and to these nodes; body {"nodes": ["node2"]}, an empty list heals. Wants cluster.rehearsal.`, (*Server).putCut},
	{"GET", "/api/v1/store", "", "The databases: path, size, state.", (*Server).getStores},
	{"GET", "/api/v1/store/{name}", "", "What a database holds: of `metadata` members, clock, digest, counts and sizes, of `messages` its sizes.", (*Server).inspectStore},
	{"POST", "/api/v1/store/{name}/verify", "", "Read a whole database and check it: of `metadata` index, counts and digest too.", (*Server).verifyStore},
}

// routes builds the one handler; which listener serves what is asked per
// request, from the connection's door.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	methods := map[string]map[string]endpoint{}
	for _, r := range routeTable {
		if methods[r.Path] == nil {
			methods[r.Path] = map[string]endpoint{}
			mux.Handle(r.Path, apiOnly(s.dispatch(methods[r.Path])))
		}
		methods[r.Path][r.Method] = r.answer(s)
	}
	mux.Handle("/api/", apiOnly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, NotFound("the paths are listed in docs/http-api.md", "there is no %s", r.URL.Path))
	})))
	s.openRoutes(mux)
	profile := func(h http.HandlerFunc) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d := doorOf(r.Context())
			if !d.access.Profile {
				http.NotFound(w, r)
				return
			}
			d.access.API = true
			if err := d.allow(r); err != nil {
				writeError(w, err)
				return
			}
			h(w, r)
		})
	}
	mux.Handle("/debug/pprof/", profile(pprof.Index))
	mux.Handle("/debug/pprof/cmdline", profile(pprof.Cmdline))
	mux.Handle("/debug/pprof/profile", profile(pprof.Profile))
	mux.Handle("/debug/pprof/symbol", profile(pprof.Symbol))
	mux.Handle("/debug/pprof/trace", profile(pprof.Trace))
	return limitBody(mux)
}

// openRoutes adds what needs no key: metrics and health.
func (s *Server) openRoutes(mux *http.ServeMux) {
	open := func(h http.Handler, on func(Access) bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case !on(doorOf(r.Context()).access):
				http.NotFound(w, r)
			case r.Method != http.MethodGet && r.Method != http.MethodHead:
				w.Header().Set("Allow", "GET, HEAD")
				writeError(w, &Error{http.StatusMethodNotAllowed, "only GET is answered here", "use GET"})
			default:
				h.ServeHTTP(w, r)
			}
		})
	}
	health := func(path string, h http.HandlerFunc) {
		mux.Handle(path, open(h, func(a Access) bool { return a.Health }))
	}
	health("/health", s.healthHandler(Health.Health))
	health("/ready", s.healthHandler(Health.Ready))
	health("/health/listeners", s.listenersHealth)
	health("/health/ping", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, healthAnswer{Status: "OK"})
	})
	if s.config.Metrics != nil {
		mux.Handle("/metrics", open(s.config.Metrics.HandlerWith(s.config.Exposition), func(a Access) bool { return a.Metrics }))
	}
}

// apiOnly lets a request pass whose door opens to the API.
func apiOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := doorOf(r.Context()).allow(r); err != nil {
			writeError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// dispatch answers by method, HEAD as GET; on=NODE has another node answer, or
// all.
func (s *Server) dispatch(methods map[string]endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		answer := methods[method]
		if answer == nil {
			allowed := make([]string, 0, len(methods))
			for m := range methods {
				allowed = append(allowed, m)
			}
			slices.Sort(allowed)
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			writeError(w, &Error{http.StatusMethodNotAllowed, r.Method + " is not answered here", "use " + strings.Join(allowed, " or ")})
			return
		}
		if s.forwarded(w, r) {
			return
		}
		v, err := answer(r)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, v)
	})
}
