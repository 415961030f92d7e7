package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// answerBytesMax bounds what a client reads: a listing at its limit fits.
const answerBytesMax = 1 << 30

// Client asks a node's API. Immutable once built; safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// NewSocketClient returns a client for an admin socket.
func NewSocketClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{base: "http://localhost", http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// NewURLClient returns a client for an API that is reached over HTTP, with a
// base such as http://127.0.0.1:8888.
func NewURLClient(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%q is no API address; it looks like http://127.0.0.1:8888", base)
	}
	return &Client{base: strings.TrimRight(u.Scheme+"://"+u.Host+u.Path, "/"), http: &http.Client{Transport: &http.Transport{}}}, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends body as JSON unless it is nil and decodes the answer into out
// unless that is nil. path begins with a slash and its segments are escaped.
// An answer of the API that is not a success is an *Error; anything else means
// that no API answered.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		send = bytes.NewReader(b)
	}
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, send)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return plain(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		e := &Error{Status: answer.StatusCode}
		if json.Unmarshal(text, e) != nil || e.Message == "" {
			return fmt.Errorf("%s answered %q, which is not this API", address, answer.Status)
		}
		return e
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s gave an answer that is not understood: %w", address, err)
	}
	return nil
}

// plain takes the method and address off an error of net/http, which mean
// nothing over a socket.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
