package admin

import "net/http"

// PathHanded is where parts of queues are brought.
const PathHanded = "/api/v1/queues/handed"

// handedBytesMax bounds a part, which has one message at least: the largest of
// MQTT, in base64.
const handedBytesMax = 400 << 20

// HandedQueue is the body of POST /api/v1/queues/handed. A value.
type HandedQueue struct {
	Node string `json:"node"` // id of the node that it was at, in hexadecimal
	Part []byte `json:"part"` // the body of a migration frame; empty only asks whether one may come
}

func (s *Server) postHanded() endpoint {
	return s.withCluster(func(c Cluster, r *http.Request) (any, error) {
		var q HandedQueue
		if err := readBody(r, &q); err != nil {
			return nil, err
		}
		return Done{true}, c.TakeQueue(r.Context(), q)
	})
}
