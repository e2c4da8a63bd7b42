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
	"github.com/zkd-project/zkd/daemon/proto"
)

func (g *globals) watching() []*cobra.Command {
	var count int
	var plain bool
	var forTime time.Duration
	watch := g.onPath("watch", "Print what happens to a znode and below it, until interrupted",
		func(cmd *cobra.Command, c *client.Client, path string) error {
			seen, before := 0, c.OnEvent
			c.OnEvent = func(e client.Event) {
				if seen++; count == 0 || seen <= count {
					g.printEvent(cmd.OutOrStdout(), e)
				}
			}
			defer func() { c.OnEvent = before }()
			stop, done := g.interrupted()
			defer done()
			if err := c.AddWatch(path, !plain); err != nil {
				return err
			}
			end := time.Now().Add(forTime)
			for (count == 0 || seen < count) && (forTime == 0 || time.Now().Before(end)) && len(stop) == 0 {
				if err := c.Await(100 * time.Millisecond); err != nil {
					return err
				}
			}
			if len(stop) > 0 { // the session goes on, and shall tell no more
				return c.RemoveWatches(path, watchKind(!plain))
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
				if g.json {
					return encode(cmd, listOf(paths))
				}
				fmt.Fprintf(cmd.OutOrStdout(), "[%s]\n", strings.Join(paths, ", "))
				return nil
			})
		},
	}
	return []*cobra.Command{watch, ephemerals, g.addWatch(), g.removeWatches()}
}

func watchKind(recursive bool) client.WatchKind {
	if recursive {
		return client.WatchPersistentRecursive
	}
	return client.WatchPersistent
}

func (g *globals) addWatch() *cobra.Command {
	var mode string
	cmd := g.onPath("addWatch", "Leave a watch that stays; the shell prints what it tells",
		func(_ *cobra.Command, c *client.Client, path string) error {
			switch strings.ToUpper(mode) {
			case "PERSISTENT":
				return c.AddWatch(path, false)
			case "PERSISTENT_RECURSIVE":
				return c.AddWatch(path, true)
			}
			return fmt.Errorf("-m %q: give PERSISTENT or PERSISTENT_RECURSIVE", mode)
		})
	cmd.Flags().StringVarP(&mode, "mode", "m", "PERSISTENT_RECURSIVE",
		"PERSISTENT, for the znode and its list of children, or PERSISTENT_RECURSIVE, for all below it")
	return cmd
}

// watchKinds are the flags of removewatches; the first that is set counts.
var watchKinds = []struct {
	long, short, usage string
	kind               client.WatchKind
}{
	{"children", "c", "watches of its list of children", client.WatchChildren},
	{"data", "d", "watches of its data", client.WatchData},
	{"persistent", "p", "persistent watches", client.WatchPersistent},
	{"persistent-recursive", "r", "persistent recursive watches", client.WatchPersistentRecursive},
	{"any", "a", "all watches, also without a flag", client.WatchAny},
}

func (g *globals) removeWatches() *cobra.Command {
	var local bool
	set := make([]bool, len(watchKinds))
	cmd := g.onPath("removewatches", "Take away watches of this session",
		func(_ *cobra.Command, c *client.Client, path string) error {
			kind := client.WatchAny
			if i := slices.Index(set, true); i >= 0 {
				kind = watchKinds[i].kind
			}
			err := c.RemoveWatches(path, kind)
			var code proto.ErrCode
			if local && !errors.As(err, &code) {
				return nil // they ended with the connection
			}
			return err
		})
	for i, k := range watchKinds {
		cmd.Flags().BoolVarP(&set[i], k.long, k.short, false, k.usage)
	}
	cmd.Flags().BoolVarP(&local, "local", "l", false, "do not fail when the server cannot be reached")
	return cmd
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
			stop, done := g.interrupted()
			defer done()
			for end := time.Now().Add(limit); ; {
				errs := g.unready(all, min(g.timeout, max(time.Until(end), leastTimeout)))
				if len(errs) == 0 {
					return nil
				}
				if time.Now().After(end) {
					return fmt.Errorf("not ready after %v: %w", limit, errors.Join(errs...))
				}
				select {
				case <-stop:
					return errors.New("interrupted")
				case <-time.After(100 * time.Millisecond):
				}
			}
		},
	}
	cmd.Flags().Bool("ready", true, "until they serve clients, which is what is waited for anyway")
	cmd.Flags().BoolVar(&all, "all", false, "all servers and not just one")
	cmd.Flags().DurationVar(&limit, "for", time.Minute, "how long to wait at most")
	return cmd
}

// leastTimeout is what a server gets to answer when the time to wait is over.
const leastTimeout = 100 * time.Millisecond

// unready asks the servers and tells which of them do not serve; none if one does, or all.
func (g *globals) unready(all bool, timeout time.Duration) (errs []error) {
	answers, n := g.askEach(timeout)
	for range n {
		switch s := <-answers; {
		case s.Error != "":
			errs = append(errs, fmt.Errorf("%s: %s", s.Server, s.Error))
		case s.Mode == "read-only":
			errs = append(errs, fmt.Errorf("%s: it is without a quorum, and serves read-only", s.Server))
		case !all:
			return nil
		}
	}
	return errs
}
