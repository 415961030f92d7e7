package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Error is an answer that is not a success: what went wrong and what to do
// about it. A value. The node returns one where it can tell the class; any
// other error is answered as 500.
type Error struct {
	Status  int    `json:"-"`
	Message string `json:"error"`
	Hint    string `json:"hint"`
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// NotFound says that there is no such thing.
func NotFound(hint, format string, a ...any) error {
	return &Error{http.StatusNotFound, fmt.Sprintf(format, a...), hint}
}

// Invalid says that the request is wrong as it stands.
func Invalid(hint, format string, a ...any) error {
	return &Error{http.StatusBadRequest, fmt.Sprintf(format, a...), hint}
}

// Gone says that what the request is for is no more.
func Gone(hint, format string, a ...any) error {
	return &Error{http.StatusGone, fmt.Sprintf(format, a...), hint}
}

// Conflict says that things are not so that it can be done.
func Conflict(hint, format string, a ...any) error {
	return &Error{http.StatusConflict, fmt.Sprintf(format, a...), hint}
}

func forbidden(hint, format string, a ...any) error {
	return &Error{http.StatusForbidden, fmt.Sprintf(format, a...), hint}
}

func missing(part string) error {
	return &Error{http.StatusNotImplemented, "this node does not offer " + part, "look at its configuration, or ask another node"}
}

// asError gives every error the one shape.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{http.StatusInternalServerError, err.Error(), "see the broker's log"}
}

// writeError answers with err in the one shape.
func writeError(w http.ResponseWriter, err error) {
	e := asError(err)
	writeJSON(w, e.Status, e)
}

// writeJSON answers with v. It is encoded before the status goes out, so that
// a value that cannot be encoded is a 500 and not half an answer.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
		body, _ = json.Marshal(asError(fmt.Errorf("encode the answer: %w", err)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
