package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/client"
)

func (g *globals) watching() []*cobra.Command {
	var count int
	var plain bool
	var forTime time.Duration
	watch := g.onPath("watch", "Print what happens to a znode and below it, until interrupted",
		func(cmd *cobra.Command, c *client.Client, path string) error {
			seen := 0
			c.OnEvent = func(e client.Event) {
				if seen++; count == 0 || seen <= count {
					g.printEvent(cmd.OutOrStdout(), e)
				}
			}
			defer func() { c.OnEvent = nil }()
			if err := c.AddWatch(path, !plain); err != nil {
				return err
			}
			end := time.Now().Add(forTime)
			for (count == 0 || seen < count) && (forTime == 0 || time.Now().Before(end)) {
				if err := c.Await(100 * time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		})
	watch.Flags().IntVarP(&count, "count", "n", 0, "end after so many events")
	watch.Flags().BoolVar(&plain, "plain", false, "the znode and its list of children only")
	watch.Flags().DurationVar(&forTime, "for", 0, "end after so long")
	ephemerals := &cobra.Command{
		Use: "getEphemerals [PREFIX]", Short: "List the ephemeral znodes of this session", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			prefix := "/"
			if len(args) == 1 {
				prefix = args[0]
			}
			return g.with(func(c *client.Client) error {
				paths, err := c.Ephemerals(prefix)
				if err != nil {
					return &pathError{prefix, err}
				}
				slices.Sort(paths)
				fmt.Fprintf(cmd.OutOrStdout(), "[%s]\n", strings.Join(paths, ", "))
				return nil
			})
		},
	}
	return []*cobra.Command{watch, ephemerals}
}

func (g *globals) printEvent(out io.Writer, e client.Event) {
	if g.json {
		_ = json.NewEncoder(out).Encode(map[string]string{"type": e.Type.String(), "path": e.Path})
		return
	}
	fmt.Fprintf(out, "%s %s\n", e.Type, e.Path)
}

// waitCommand waits until servers serve, for scripts.
func (g *globals) waitCommand() *cobra.Command {
	var all bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "wait", Short: "Wait until a server serves, or all of --server do", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for end := time.Now().Add(limit); ; {
				var errs []error
				servers := strings.Split(g.servers, ",")
				for _, addr := range servers {
					if s := g.ask(strings.TrimSpace(addr)); s.Error != "" {
						errs = append(errs, fmt.Errorf("%s: %s", addr, s.Error))
					}
				}
				if len(errs) == 0 || !all && len(errs) < len(servers) {
					return nil
				}
				if time.Now().After(end) {
					return fmt.Errorf("not ready after %v: %w", limit, errors.Join(errs...))
				}
				time.Sleep(100 * time.Millisecond)
			}
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all servers and not just one")
	cmd.Flags().DurationVar(&limit, "for", time.Minute, "how long to wait at most")
	return cmd
}
