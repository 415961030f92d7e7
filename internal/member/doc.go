// Package member holds the durable set of members of a cluster, and finds their
// nodes.
package member
