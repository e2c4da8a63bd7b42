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

func cut(s string) (before, after string, ok bool) { return strings.Cut(s, ":") }

// onPath makes a command that does something with one path.
func (g *globals) onPath(use, short string, f func(*cobra.Command, *client.Client, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " PATH", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.with(func(c *client.Client) error {
				err := f(cmd, c, args[0])
				var at *pathError
				if err != nil && !errors.As(err, &at) {
					return &pathError{args[0], err}
				}
				return err
			})
		},
	}
}

func (g *globals) reading() []*cobra.Command {
	var withStat, recursive bool
	ls := g.onPath("ls", "List the children of a znode", func(cmd *cobra.Command, c *client.Client, path string) error {
		return g.list(cmd.OutOrStdout(), c, path, recursive, withStat)
	})
	ls.Flags().BoolVarP(&withStat, "stat", "s", false, "print the Stat too")
	ls.Flags().BoolVarP(&recursive, "recursive", "R", false, "print the whole subtree, one path a line")
	var getStat bool
	get := g.onPath("get", "Print the data of a znode", func(cmd *cobra.Command, c *client.Client, path string) error {
		data, st, err := c.Get(path)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if g.json {
			return json.NewEncoder(out).Encode(map[string]any{"path": path, "data": data, "stat": st})
		}
		if data == nil {
			data = []byte("null")
		}
		fmt.Fprintln(out, string(data))
		if getStat {
			printStat(out, st)
		}
		return nil
	})
	get.Flags().BoolVarP(&getStat, "stat", "s", false, "print the Stat too")
	stat := g.onPath("stat", "Print a znode's Stat", func(cmd *cobra.Command, c *client.Client, path string) error {
		st, err := c.Stat(path)
		if err != nil {
			return err
		}
		if g.json {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(st)
		}
		printStat(cmd.OutOrStdout(), st)
		return nil
	})
	tree := g.onPath("tree", "Draw a subtree", func(cmd *cobra.Command, c *client.Client, path string) error {
		fmt.Fprintln(cmd.OutOrStdout(), path)
		return draw(cmd.OutOrStdout(), c, path, "")
	})
	return append([]*cobra.Command{ls, get, stat, tree}, g.readingMore()...)
}

func (g *globals) readingMore() []*cobra.Command {
	acl := g.onPath("getAcl", "Print who may do what", func(cmd *cobra.Command, c *client.Client, path string) error {
		acls, _, err := c.ACL(path)
		for _, a := range acls {
			fmt.Fprintf(cmd.OutOrStdout(), "'%s,'%s\n: %s\n", a.ID.Scheme, a.ID.ID, perms(a.Perms))
		}
		return err
	})
	count := g.onPath("getAllChildrenNumber", "Count the descendants of a znode",
		func(cmd *cobra.Command, c *client.Client, path string) error {
			n, err := c.CountBelow(path)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), n)
			}
			return err
		})
	sync := g.onPath("sync", "Wait until the server is up to date",
		func(cmd *cobra.Command, c *client.Client, path string) error {
			err := c.Sync(path)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), "Sync is OK")
			}
			return err
		})
	who := &cobra.Command{
		Use: "whoami", Short: "Print the identities of the session", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.with(func(c *client.Client) error {
				ids, err := c.WhoAmI()
				fmt.Fprintln(cmd.OutOrStdout(), "Auth scheme: User")
				for _, id := range ids {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", id.Scheme, id.ID)
				}
				return err
			})
		},
	}
	return []*cobra.Command{acl, count, sync, who}
}

func perms(p proto.Perms) string {
	var b strings.Builder
	for _, k := range []struct {
		bit  proto.Perms
		name byte
	}{
		{proto.PermCreate, 'c'}, {proto.PermDelete, 'd'}, {proto.PermRead, 'r'}, {proto.PermWrite, 'w'},
		{proto.PermAdmin, 'a'},
	} {
		if p&k.bit != 0 {
			b.WriteByte(k.name)
		}
	}
	return b.String()
}

func join(path, name string) string { return strings.TrimSuffix(path, "/") + "/" + name }

func (g *globals) list(out io.Writer, c *client.Client, path string, recursive, withStat bool) error {
	if recursive {
		return walk(c, path, func(p string) { fmt.Fprintln(out, p) })
	}
	names, st, err := c.Children(path)
	if err != nil {
		return err
	}
	slices.Sort(names)
	if g.json {
		return json.NewEncoder(out).Encode(names)
	}
	fmt.Fprintf(out, "[%s]\n", strings.Join(names, ", "))
	if withStat {
		printStat(out, st)
	}
	return nil
}

// walk visits a subtree, the nearer znodes first.
func walk(c *client.Client, top string, visit func(path string)) error {
	for queue := []string{top}; len(queue) > 0; queue = queue[1:] {
		visit(queue[0])
		names, _, err := c.Children(queue[0])
		if err != nil {
			return err
		}
		slices.Sort(names)
		for _, n := range names {
			queue = append(queue, join(queue[0], n))
		}
	}
	return nil
}

func draw(out io.Writer, c *client.Client, path, indent string) error {
	names, _, err := c.Children(path)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for i, n := range names {
		branch, more := "├── ", "│   "
		if i == len(names)-1 {
			branch, more = "└── ", "    "
		}
		fmt.Fprintln(out, indent+branch+n)
		if err := draw(out, c, join(path, n), indent+more); err != nil {
			return err
		}
	}
	return nil
}

const javaDate = "Mon Jan 02 15:04:05 MST 2006"

// printStat prints a Stat as zkCli does.
func printStat(out io.Writer, s proto.Stat) {
	date := func(ms proto.Millis) string { return time.UnixMilli(int64(ms)).Format(javaDate) }
	fmt.Fprintf(out, "cZxid = %v\nctime = %s\nmZxid = %v\nmtime = %s\npZxid = %v\n",
		s.Czxid, date(s.Ctime), s.Mzxid, date(s.Mtime), s.Pzxid)
	fmt.Fprintf(out, "cversion = %d\ndataVersion = %d\naclVersion = %d\nephemeralOwner = %v\n",
		s.Cversion, s.Version, s.Aversion, s.EphemeralOwner)
	fmt.Fprintf(out, "dataLength = %d\nnumChildren = %d\n", s.DataLength, s.NumChildren)
}
