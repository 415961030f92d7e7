package admin

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"tombolo/internal/metric"
)

const limitDefault, limitMax = 100, 100_000

// readBody decodes a JSON body strictly: an unknown field is a mistake that
// would otherwise pass in silence.
func readBody(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return Invalid("send one JSON object, see docs/http-api.md", "the body is not understood: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Invalid("send one JSON object, see docs/http-api.md", "something follows the JSON object")
	}
	return nil
}

func limitOf(r *http.Request) (int, error) {
	v := r.URL.Query().Get("limit")
	if v == "" {
		return limitDefault, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > limitMax {
		return 0, Invalid("use a number from 1 to "+strconv.Itoa(limitMax), "limit %q is not understood", v)
	}
	return n, nil
}

func (s *Server) getVersion() endpoint {
	return func(*http.Request) (any, error) { return s.config.Version, nil }
}

func (s *Server) getStatus() endpoint {
	return func(*http.Request) (any, error) {
		if s.config.Status == nil {
			return nil, missing("its status")
		}
		st := s.config.Status()
		if st.Listeners == nil {
			st.Listeners = []Listener{}
		}
		return st, nil
	}
}

// OptionList is the answer of GET /api/v1/options. A value.
type OptionList struct {
	Options []Option `json:"options"`
}

func (s *Server) getOptions() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Options == nil {
			return nil, missing("its options")
		}
		out := OptionList{Options: []Option{}}
		hidden := r.URL.Query().Get("hidden") == "true"
		for _, o := range s.config.Options.Options() {
			if hidden || !o.Hidden {
				out.Options = append(out.Options, o)
			}
		}
		return out, nil
	}
}

func (s *Server) getOption() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Options == nil {
			return nil, missing("its options")
		}
		return s.config.Options.Option(r.PathValue("key"))
	}
}

// OptionValue is the body of PUT /api/v1/options/{key}. A value.
type OptionValue struct {
	Value *string `json:"value"`
}

func (s *Server) putOption() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Options == nil {
			return nil, missing("its options")
		}
		var body OptionValue
		if err := readBody(r, &body); err != nil {
			return nil, err
		}
		if body.Value == nil {
			return nil, Invalid(`send {"value": "…"}`, "the body has no value")
		}
		key := r.PathValue("key")
		if _, err := s.config.Options.Option(key); err != nil {
			return nil, err
		}
		if err := s.config.Options.SetOption(key, *body.Value); err != nil {
			var known *Error
			if errors.As(err, &known) {
				return nil, err
			}
			return nil, Invalid("tombolo show --describe "+key+" tells what it takes", "%v", err)
		}
		return s.config.Options.Option(key)
	}
}

// LevelList is the answer and the body of /api/v1/log/levels. A value.
type LevelList struct {
	Levels []Level `json:"levels"`
}

func (s *Server) getLevels() endpoint {
	return func(*http.Request) (any, error) {
		if s.config.Levels == nil {
			return nil, missing("its log levels")
		}
		return LevelList{Levels: s.config.Levels.Levels()}, nil
	}
}

func (s *Server) putLevels() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Levels == nil {
			return nil, missing("its log levels")
		}
		var body LevelList
		if err := readBody(r, &body); err != nil {
			return nil, err
		}
		for _, l := range body.Levels {
			if err := s.config.Levels.SetLevel(l.Subsystem, l.Level); err != nil {
				return nil, Invalid("tombolo log level lists the subsystems", "%v", err)
			}
		}
		return LevelList{Levels: s.config.Levels.Levels()}, nil
	}
}

// SubscriberList is the answer of GET /api/v1/subscriptions. A value.
type SubscriberList struct {
	Subscribers []Subscriber `json:"subscribers"`
}

func (s *Server) getSubscribers() endpoint {
	return func(r *http.Request) (any, error) {
		q := r.URL.Query()
		switch {
		case s.config.Subscriptions == nil:
			return nil, missing("its subscriptions")
		case q.Get("topic") == "":
			return nil, Invalid("add ?topic=…", "no topic is given")
		}
		list, err := s.config.Subscriptions.Subscribers(q.Get("mountpoint"), q.Get("topic"))
		if list == nil {
			list = []Subscriber{}
		}
		return SubscriberList{Subscribers: list}, err
	}
}

// RetainedList is the answer of GET /api/v1/retained. A value.
type RetainedList struct {
	Retained  []RetainedMessage `json:"retained"`
	Truncated bool              `json:"truncated"`
}

func (s *Server) getRetained() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Retained == nil {
			return nil, missing("its retained messages")
		}
		limit, err := limitOf(r)
		if err != nil {
			return nil, err
		}
		out := RetainedList{Retained: []RetainedMessage{}}
		q := r.URL.Query()
		err = s.config.Retained.Retained(q.Get("mountpoint"), q.Get("filter"), func(m RetainedMessage) bool {
			if len(out.Retained) == limit {
				out.Truncated = true
				return false
			}
			out.Retained = append(out.Retained, m)
			return true
		})
		return out, err
	}
}

// Done is the answer of a request that changed something. A value.
type Done struct {
	Done bool `json:"done"`
}

func (s *Server) deleteRetained() endpoint {
	return func(r *http.Request) (any, error) {
		q := r.URL.Query()
		switch {
		case s.config.Retained == nil:
			return nil, missing("its retained messages")
		case q.Get("topic") == "":
			return nil, Invalid("add ?topic=…", "no topic is given")
		}
		found, err := s.config.Retained.DeleteRetained(r.Context(), q.Get("mountpoint"), q.Get("topic"))
		if err == nil && !found {
			err = NotFound("tombolo retain show lists them", "no message is retained on %q", q.Get("topic"))
		}
		return Done{true}, err
	}
}

// ListenerList is the answer of GET /api/v1/listeners. A value.
type ListenerList struct {
	Listeners []Listener `json:"listeners"`
}

func (s *Server) getListeners() endpoint {
	return func(*http.Request) (any, error) {
		if s.config.Listeners == nil {
			return nil, missing("its listeners")
		}
		return ListenerList{Listeners: append([]Listener{}, s.config.Listeners.Listeners()...)}, nil
	}
}

// Metric is one series. A value; Value is null where the figure is not a
// number.
type Metric struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Help       string   `json:"help"`
	Verne      string   `json:"vernemq_name,omitempty"`
	Label      string   `json:"label,omitempty"`
	LabelValue string   `json:"label_value,omitempty"`
	Value      *float64 `json:"value"`
	Count      uint64   `json:"count,omitempty"` // observations of a histogram, whose Value is their sum
	Buckets    []Bucket `json:"buckets,omitempty"`
}

// Bucket is one cumulative bucket of a histogram. A value.
type Bucket struct {
	UpperBound float64 `json:"le"`
	Count      uint64  `json:"count"`
}

// MetricList is the answer of GET /api/v1/metrics. A value.
type MetricList struct {
	Metrics []Metric `json:"metrics"`
}

func (s *Server) getMetrics() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Metrics == nil {
			return nil, missing("its metrics")
		}
		part := r.URL.Query().Get("filter")
		out := MetricList{Metrics: []Metric{}}
		s.config.Metrics.Each(func(m metric.Sample) {
			if !strings.Contains(m.Name, part) && (m.Verne == "" || !strings.Contains(m.Verne, part)) {
				return
			}
			row := Metric{
				Name: m.Name, Kind: m.Kind.String(), Help: m.Help, Verne: m.Verne,
				Label: m.Label, LabelValue: m.LabelValue, Count: m.Count,
			}
			if !math.IsNaN(m.Value) && !math.IsInf(m.Value, 0) {
				row.Value = &m.Value
			}
			for _, b := range m.Buckets {
				row.Buckets = append(row.Buckets, Bucket(b))
			}
			out.Metrics = append(out.Metrics, row)
		})
		return out, nil
	}
}

// StoreList is the answer of GET /api/v1/store. A value.
type StoreList struct {
	Stores []StoreInfo `json:"stores"`
}

func (s *Server) getStores() endpoint {
	return func(*http.Request) (any, error) {
		if s.config.Stores == nil {
			return nil, missing("its stores")
		}
		return StoreList{Stores: append([]StoreInfo{}, s.config.Stores.Stores()...)}, nil
	}
}

func (s *Server) inspectStore() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Stores == nil {
			return nil, missing("its stores")
		}
		return s.config.Stores.InspectStore(r.PathValue("name"))
	}
}

func (s *Server) verifyStore() endpoint {
	return func(r *http.Request) (any, error) {
		if s.config.Stores == nil {
			return nil, missing("its stores")
		}
		report, err := s.config.Stores.VerifyStore(r.Context(), r.PathValue("name"))
		if report.Findings == nil {
			report.Findings = []string{}
		}
		return report, err
	}
}
