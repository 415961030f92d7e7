package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

// onFlags say which member of a cluster a command is for. Owned by the one
// command that is run.
type onFlags struct {
	node string
	all  bool
}

func (f *onFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.node, "node", "", "this member of the cluster instead of the one that is asked")
	c.Flags().BoolVar(&f.all, "all", false, "every member of the cluster")
	c.MarkFlagsMutuallyExclusive("node", "all")
}

// query names the member to the API.
func (f *onFlags) query() url.Values {
	q := url.Values{}
	switch {
	case f.all:
		q.Set("on", "all")
	case f.node != "":
		q.Set("on", f.node)
	}
	return q
}

// answerError is why one of many did not do what was asked; nil if it did.
func answerError(n admin.NodeAnswer) error {
	if n.Error != "" {
		return errors.New(n.Error)
	}
	if n.Status/100 == 2 {
		return nil
	}
	e := &admin.Error{Status: n.Status}
	if json.Unmarshal(n.Answer, e) != nil {
		return errors.New("it answered something that is not understood")
	}
	return e
}

// everywhere puts a request to every member. It returns the answers of those who
// did it, and says of the others why not; the error is theirs if nobody did.
func (a *asker) everywhere(method, path string, q url.Values) (done []admin.NodeAnswer, err error) {
	asked := url.Values{"on": {"all"}}
	maps.Copy(asked, q)
	var list admin.NodeAnswers
	if err := a.do(method, path, asked, nil, &list); err != nil {
		return nil, err
	}
	for _, n := range list.Nodes {
		switch e := answerError(n); {
		case e == nil:
			done = append(done, n)
		case n.Error != "":
			fmt.Fprintf(a.errs, "%s: %s\n", n.Node, n.Error)
			err = cmp.Or(err, e)
		default:
			err = cmp.Or(err, e)
		}
	}
	if len(done) > 0 {
		err = nil
	}
	return done, err
}
