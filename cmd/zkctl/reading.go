package main

import (
	"encoding/base64"
	"encoding/hex"
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
		Use: use + " PATH", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: g.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.at(args[0], func(c *client.Client) error { return f(cmd, c, args[0]) })
		},
	}
}

// at runs f in a session; what fails concerns the path, unless f says otherwise.
func (g *globals) at(path string, f func(*client.Client) error) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("the path %q does not begin with /; give /%[1]s", path)
	}
	return g.with(func(c *client.Client) error {
		err := f(c)
		var at *pathError
		if err != nil && !errors.As(err, &at) {
			return &pathError{path, err}
		}
		return err
	})
}

// completePath completes the path of a znode in the user's own shell.
func (g *globals) completePath(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	var found []string
	if len(args) > 0 || !strings.HasPrefix(word, "/") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	quick := *g
	quick.timeout = min(g.timeout, 2*time.Second) // somebody waits for it
	_ = quick.with(func(c *client.Client) error { // without an answer there is nothing to offer
		found = pathsFor(c, word)
		return nil
	})
	return found, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// pathsFor are the paths of znodes that begin with a word.
func pathsFor(c *client.Client, word string) (found []string) {
	above := word[:strings.LastIndexByte(word, '/')+1]
	names, _, err := c.Children("/" + strings.Trim(above, "/"))
	if err != nil {
		return nil
	}
	slices.Sort(names)
	for _, n := range names {
		if strings.HasPrefix(above+n, word) {
			found = append(found, above+n)
		}
	}
	return found
}

// watchFlag gives a command the flag -w, and zkCli's old form of it: the word watch at the end.
func watchFlag(cmd *cobra.Command) *bool {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 2 && args[1] == "watch" {
			return cmd.Flags().Set("watch", "true")
		}
		return cobra.ExactArgs(1)(cmd, args)
	}
	return cmd.Flags().BoolP("watch", "w", false, "leave a watch; the shell prints what it tells")
}

// watched runs f, whose reads leave watches if watch is set.
func watched(c *client.Client, watch bool, f func() error) error {
	c.Watch = watch
	defer func() { c.Watch = false }()
	return f()
}

// encode prints v as JSON.
func encode(cmd *cobra.Command, v any) error { return json.NewEncoder(cmd.OutOrStdout()).Encode(v) }

func (g *globals) reading() []*cobra.Command {
	tree := g.onPath("tree", "Draw a subtree", func(cmd *cobra.Command, c *client.Client, path string) error {
		fmt.Fprintln(cmd.OutOrStdout(), path)
		return draw(cmd.OutOrStdout(), c, path, "")
	})
	return append([]*cobra.Command{g.ls(), g.get(), g.stat(), orRoot(tree)}, g.readingMore()...)
}

func (g *globals) ls() *cobra.Command {
	var withStat, recursive bool
	var watch *bool
	cmd := g.onPath("ls", "List the children of a znode",
		func(cmd *cobra.Command, c *client.Client, path string) error {
			return watched(c, *watch, func() error { return g.list(cmd, c, path, recursive, withStat) })
		})
	cmd.Flags().BoolVarP(&withStat, "stat", "s", false, "print the Stat too")
	cmd.Flags().BoolVarP(&recursive, "recursive", "R", false, "print the whole subtree, one path a line")
	watch = watchFlag(cmd)
	return orRoot(cmd)
}

func (g *globals) get() *cobra.Command {
	var withStat, inBase64, inHex bool
	var watch *bool
	cmd := g.onPath("get", "Print the data of a znode", func(cmd *cobra.Command, c *client.Client, path string) error {
		return watched(c, *watch, func() error {
			data, st, err := c.Get(path)
			if err != nil {
				return err
			}
			if g.json {
				return encode(cmd, struct {
					Path string `json:"path"`
					content
					Stat stat `json:"stat"`
				}{path, contentOf(data), statOf(&st)})
			}
			if data == nil {
				data = []byte("null")
			}
			text := string(data)
			switch {
			case inHex:
				text = strings.TrimSuffix(hex.Dump(data), "\n")
			case inBase64:
				text = base64.StdEncoding.EncodeToString(data)
			}
			fmt.Fprintln(cmd.OutOrStdout(), text)
			if withStat {
				printStat(cmd.OutOrStdout(), st)
			}
			return nil
		})
	})
	f := cmd.Flags()
	f.BoolVarP(&withStat, "stat", "s", false, "print the Stat too")
	f.BoolVarP(&inBase64, "base64", "b", false, "print the data in base64")
	f.BoolVarP(&inHex, "hex", "x", false, "print the data in hexadecimal")
	watch = watchFlag(cmd)
	return cmd
}

func (g *globals) stat() *cobra.Command {
	var watch *bool
	cmd := g.onPath("stat", "Print a znode's Stat", func(cmd *cobra.Command, c *client.Client, path string) error {
		return watched(c, *watch, func() error {
			st, err := c.Stat(path)
			if err != nil {
				return err
			}
			return g.showStat(cmd, st)
		})
	})
	watch = watchFlag(cmd)
	return cmd
}

// showStat prints a Stat that is the result of a command.
func (g *globals) showStat(cmd *cobra.Command, st proto.Stat) error {
	if g.json {
		return encode(cmd, statOf(&st))
	}
	printStat(cmd.OutOrStdout(), st)
	return nil
}

func (g *globals) readingMore() []*cobra.Command {
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
				if err != nil {
					return err
				}
				if g.json {
					return encode(cmd, identitiesOf(ids))
				}
				fmt.Fprintln(cmd.OutOrStdout(), "Auth scheme: User")
				for _, id := range ids {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", id.Scheme, id.ID)
				}
				return nil
			})
		},
	}
	return []*cobra.Command{g.getACL(), count, sync, who}
}

func (g *globals) getACL() *cobra.Command {
	var withStat bool
	cmd := g.onPath("getAcl", "Print who may do what", func(cmd *cobra.Command, c *client.Client, path string) error {
		acls, st, err := c.ACL(path)
		if err != nil {
			return err
		}
		if g.json {
			return encode(cmd, map[string]any{"path": path, "acl": formatACL(acls), "stat": statOf(&st)})
		}
		for _, a := range acls {
			fmt.Fprintf(cmd.OutOrStdout(), "'%s,'%s\n: %s\n", a.ID.Scheme, a.ID.ID, perms(a.Perms))
		}
		if withStat {
			printStat(cmd.OutOrStdout(), st)
		}
		return nil
	})
	cmd.Flags().BoolVarP(&withStat, "stat", "s", false, "print the Stat too")
	return cmd
}

// formatACL is the list as commands take it, an entry each.
func formatACL(acls []proto.ACL) (list []string) {
	for _, a := range acls {
		list = append(list, a.ID.Scheme+":"+a.ID.ID+":"+perms(a.Perms))
	}
	return list
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

func (g *globals) list(cmd *cobra.Command, c *client.Client, path string, recursive, withStat bool) error {
	out := cmd.OutOrStdout()
	if recursive {
		paths := []string{}
		err := walk(c, path, func(p string) {
			if g.json {
				paths = append(paths, p)
			} else {
				fmt.Fprintln(out, p)
			}
		})
		if err == nil && g.json {
			err = encode(cmd, paths)
		}
		return err
	}
	names, st, err := c.Children(path)
	if err != nil {
		return err
	}
	slices.Sort(names)
	if g.json {
		return encode(cmd, listOf(names))
	}
	fmt.Fprintf(out, "[%s]\n", strings.Join(names, ", "))
	if withStat {
		printStat(out, st)
	}
	return nil
}

// walk visits a subtree in the order of zkCli: a znode's children one after the other, and
// then what is below each. What is deleted meanwhile is passed over.
func walk(c *client.Client, top string, visit func(path string)) error {
	if _, _, err := c.Get(top); err != nil { // with a watch, if reads leave one
		return err
	}
	visit(top)
	return walkBelow(c, top, visit)
}

func walkBelow(c *client.Client, above string, visit func(path string)) error {
	names, _, err := c.Children(above)
	if errors.Is(err, proto.ErrNoNode) {
		return nil
	}
	if err != nil {
		return &pathError{above, err}
	}
	slices.Sort(names)
	for _, n := range names {
		visit(join(above, n))
	}
	for _, n := range names {
		if err := walkBelow(c, join(above, n), visit); err != nil {
			return err
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
