package admin

import "net/http"

// healthAnswer has VerneMQ's shape. A value.
type healthAnswer struct {
	Status  string   `json:"status"` // OK or DOWN
	Reasons []string `json:"reasons,omitempty"`
}

func (s *Server) healthHandler(ask func(Health) []string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		reasons := []string{"the node does not tell its health"}
		if s.config.Health != nil {
			reasons = ask(s.config.Health)
		}
		answerHealth(w, reasons)
	}
}

func (s *Server) listenersHealth(w http.ResponseWriter, _ *http.Request) {
	reasons := []string{"the node does not tell its listeners"}
	if s.config.Listeners != nil {
		reasons = nil
		for _, l := range s.config.Listeners.Listeners() {
			if l.Status != "running" {
				reasons = append(reasons, "listener "+l.Name+" is "+l.Status)
			}
		}
	}
	answerHealth(w, reasons)
}

func answerHealth(w http.ResponseWriter, reasons []string) {
	if len(reasons) > 0 {
		writeJSON(w, http.StatusServiceUnavailable, healthAnswer{Status: "DOWN", Reasons: reasons})
		return
	}
	writeJSON(w, http.StatusOK, healthAnswer{Status: "OK"})
}
