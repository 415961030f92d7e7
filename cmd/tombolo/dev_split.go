package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func newDevSplit() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "split GROUP GROUP...",
		Short: "Split the cluster of tombolo dev --nodes into groups that do not reach each other",
		Long: `Split drops every byte between the groups, over links and gossip, without telling
either side, as a network does that has split. A group is a list of node numbers.
It needs no root. A node that is in no group reaches nobody; one that is in several
reaches all of them, so that a link between two nodes can be cut and no other.`,
		Example: `  tombolo dev split 1 2,3
  tombolo dev split 1 2 3
  tombolo dev split 1,3 2,3`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runSplit(cmd, dir, args) },
	}
	c.Flags().StringVar(&dir, "data_dir", "data", "the data directory of tombolo dev --nodes")
	return c
}

func newDevHeal() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "heal",
		Short:   "End what tombolo dev split began",
		Example: `  tombolo dev heal`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runSplit(cmd, dir, nil) },
	}
	c.Flags().StringVar(&dir, "data_dir", "data", "the data directory of tombolo dev --nodes")
	return c
}

// runSplit tells every node whom it is cut off from; without groups, from nobody.
func runSplit(cmd *cobra.Command, dir string, groups []string) error {
	sockets, err := filepath.Glob(filepath.Join(dir, "node[0-9]", socketName))
	if err != nil || len(sockets) == 0 {
		return fail(exitUnreachable, fmt.Errorf("no node of tombolo dev --nodes runs in %s", dir))
	}
	slices.Sort(sockets)
	var names []string
	for _, s := range sockets {
		names = append(names, filepath.Base(filepath.Dir(s)))
	}
	group, err := parseGroups(names, groups)
	if err != nil {
		return fail(exitUsage, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i, socket := range sockets {
		cut := admin.ClusterCut{Nodes: []string{}}
		for _, other := range names {
			if other != names[i] && len(groups) > 0 && group[other]&group[names[i]] == 0 {
				cut.Nodes = append(cut.Nodes, other)
			}
		}
		client := admin.NewSocketClient(socket)
		err := client.Do(ctx, "PUT", "/api/v1/cluster/cut", nil, cut, nil)
		client.Close()
		if err != nil {
			return fail(exitFailure, fmt.Errorf("%s: %w", names[i], err))
		}
	}
	if len(groups) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "Healed. The nodes find each other again; after about three seconds: tombolo cluster show")
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Split: %s. Both sides notice within three seconds: tombolo cluster show\n", strings.Join(groups, " | "))
	return nil
}

// parseGroups gives each node the groups that it is in, one bit each.
func parseGroups(names, groups []string) (map[string]uint64, error) {
	if len(groups) > 64 {
		return nil, errors.New("64 groups are the most")
	}
	out := map[string]uint64{}
	for _, n := range names {
		out[n] = 0
	}
	for i, g := range groups {
		for _, word := range strings.Split(g, ",") {
			name := word
			if _, err := strconv.Atoi(word); err == nil {
				name = "node" + word
			}
			if _, ok := out[name]; !ok {
				return nil, fmt.Errorf("there is no node %q; there are %s", word, strings.Join(names, " "))
			}
			out[name] |= 1 << i
		}
	}
	return out, nil
}
