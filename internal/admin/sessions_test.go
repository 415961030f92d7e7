package admin

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestSessionListings(t *testing.T) {
	n := newNode()
	c := NewSocketClient(serveSocket(t, config(n)))
	defer c.Close()
	cases := []struct {
		query     string
		rows      int
		truncated bool
		first     string
	}{
		{"", 100, true, "map[client_id:c000 is_online:true mountpoint: peer_host: peer_port:0 user:u]"},
		{"limit=300", 300, false, ""},
		{"is_online=false&limit=1000&fields=client_id", 150, false, "map[client_id:c001]"},
		{"client_id=~^c00[12]$&fields=client_id,is_offline", 2, false, "map[client_id:c001 is_offline:true]"},
		{"client_id=c007&mountpoint=&fields=client_id,topic,qos", 2, false, "map[client_id:c007 qos:1 topic:t/#]"},
		{"client_id=c007&fields=mountpoint", 2, false, "map[mountpoint:]"},
		{"client_id=c007&mountpoint=m&fields=mountpoint", 1, false, "map[mountpoint:m]"},
		{"topic=c008&fields=client_id", 1, false, "map[client_id:c008]"},
		{"fields=client_id,topic&limit=3", 3, true, ""},
		{"fields=subscriptions&limit=1", 1, true, "map[subscriptions:2]"},
		{"peer_port=12&user=u&fields=session_started_at", 1, false, "map[session_started_at:<nil>]"},
		{"peer_port=12&user=v", 0, false, ""},
	}
	for _, tc := range cases {
		q, err := url.ParseQuery(tc.query)
		if err != nil {
			t.Fatal(err)
		}
		var got SessionList
		if err := c.Do(t.Context(), "GET", "/api/v1/sessions", q, nil, &got); err != nil {
			t.Fatalf("%s: %v", tc.query, err)
		}
		if len(got.Sessions) != tc.rows || got.Truncated != tc.truncated {
			t.Errorf("%s: %d rows, truncated %v; want %d, %v", tc.query, len(got.Sessions), got.Truncated, tc.rows, tc.truncated)
		} else if tc.first != "" && fmt.Sprint(got.Sessions[0]) != tc.first {
			t.Errorf("%s: first row %v, want %s", tc.query, got.Sessions[0], tc.first)
		}
	}
	for query, want := range map[string]string{
		"nothing=1": "no field", "fields=client_id,x": "no field", "user=~(": "regexp", "limit=many": "limit",
	} {
		q, _ := url.ParseQuery(query)
		if err := c.Do(t.Context(), "GET", "/api/v1/sessions", q, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", query, err, want)
		}
	}
}

func TestDisconnect(t *testing.T) {
	n := newNode()
	c := NewSocketClient(serveSocket(t, config(n)))
	defer c.Close()
	// Client ids that a path could not carry.
	for _, id := range []string{"..", "a/b?c#d", "ü %2F"} {
		q := url.Values{"client_id": {id}, "mountpoint": {"m"}, "cleanup": {"true"}}
		if err := c.Do(t.Context(), "DELETE", "/api/v1/sessions", q, nil, nil); err != nil {
			t.Fatal(err)
		}
		if got := n.gone[len(n.gone)-1]; got != "m/"+id+" true" {
			t.Fatalf("disconnected %q", got)
		}
	}
	for _, q := range []url.Values{{"client_id": {"nobody"}}, {}, {"client_id": {"a"}, "cleanup": {"perhaps"}}} {
		var e *Error
		if err := c.Do(t.Context(), "DELETE", "/api/v1/sessions", q, nil, nil); !errors.As(err, &e) || e.Status/100 != 4 || e.Hint == "" {
			t.Errorf("%v: %v, want a refusal with a hint", q, err)
		}
	}
}

func TestOrphans(t *testing.T) {
	c := NewSocketClient(serveSocket(t, config(newNode())))
	defer c.Close()
	var list OrphanList
	var moving MovingList
	if err := c.Do(t.Context(), "GET", "/api/v1/queues/moving", nil, nil, &moving); err != nil || len(moving.Moving) != 1 || moving.Moving[0].Left != 4 {
		t.Errorf("moving: %+v, %v", moving, err)
	}
	if err := c.Do(t.Context(), "GET", "/api/v1/queues/orphaned", nil, nil, &list); err != nil || len(list.Orphans) != 1 || list.Orphans[0].Messages != 7 {
		t.Errorf("%+v, %v", list, err)
	}
	for id, status := range map[string]int{"lost": 0, "other": 404, "": 400} {
		err := c.Do(t.Context(), "DELETE", "/api/v1/queues/orphaned", url.Values{"client_id": {id}}, nil, nil)
		var e *Error
		if errors.As(err, &e); (err == nil) != (status == 0) || err != nil && (e == nil || e.Status != status) {
			t.Errorf("%q: %v, want %d", id, err, status)
		}
	}
}
