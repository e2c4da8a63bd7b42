package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/client"
	"github.com/zkd-project/zkd/daemon/proto"
)

// dumped is a znode in a dump: one JSON object a line, parents first. Clients are not told whether a znode is a
// container or has a TTL; snapshots say it.
type dumped struct {
	Path string `json:"path"`
	content
	ACL  []string `json:"acl,omitempty"`  // scheme:id:perms; none is world:anyone:cdrwa
	Mode string   `json:"mode,omitempty"` // "container" or "ttl"; none is a persistent znode
	TTL  int64    `json:"ttl,omitempty"`  // milliseconds, with mode ttl
}

const openACL = "world:anyone:cdrwa"

const modeContainer, modeTTL = "container", "ttl"

func (g *globals) transfer() []*cobra.Command {
	var replace bool
	var at string
	load := &cobra.Command{
		Use: "load FILE", Short: "Make the znodes of a dump; - is the standard input", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := io.Reader(os.Stdin)
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			return g.with(func(c *client.Client) error {
				made, changed, err := loadTree(in, c, strings.TrimSuffix(at, "/"), replace)
				fmt.Fprintf(cmd.OutOrStdout(), "%d znodes made, %d changed\n", made, changed)
				return err
			})
		},
	}
	load.Flags().BoolVar(&replace, "replace", false, "replace data and ACL of znodes that exist")
	load.Flags().StringVar(&at, "at", "", "path that is put in front of the dump's paths")
	return []*cobra.Command{g.dumpCommand(), load}
}

func (g *globals) dumpCommand() *cobra.Command {
	var from, logDir string
	dump := g.onPath("dump", "Print a subtree as JSON, one znode a line; ephemeral znodes are left out",
		func(cmd *cobra.Command, c *client.Client, path string) error {
			fmt.Fprintln(cmd.ErrOrStderr(), "note: servers do not tell clients which znodes are containers or have a "+
				"TTL; "+
				"they are dumped as persistent ones, unless from a snapshot (--from)")
			return dumpTree(cmd.OutOrStdout(), cmd.ErrOrStderr(), c, path)
		})
	ask := dump.RunE
	dump.RunE = func(cmd *cobra.Command, args []string) error {
		if from == "" {
			return ask(cmd, args)
		}
		out := bufio.NewWriter(cmd.OutOrStdout())
		return errors.Join(dumpFile(out, cmd.ErrOrStderr(), storeAt(from, logDir), args[0]), out.Flush())
	}
	dump.Example = "  zkctl dump /app > app.json\n  zkctl dump --from version-2/snapshot.100000000 /app > app.json"
	dump.Flags().StringVar(&from, "from", "", "a snapshot file, or a dataDir of a zkd that is stopped, instead of a "+
		"server; "+
		"it also tells which znodes are containers or have a TTL")
	dump.Flags().StringVar(&logDir, "log-dir", "", "the dataLogDir, if the data of --from have one")
	return dump
}

func dumpTree(out, notes io.Writer, c *client.Client, top string) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	var failed error
	left, hidden, first := 0, 0, ""
	err := walk(c, top, func(path string) {
		if failed != nil || path == "/" || path == "/zookeeper" || strings.HasPrefix(path, "/zookeeper/") {
			return
		}
		n, ephemeral, err := readNode(c, path)
		switch {
		case errors.Is(err, proto.ErrNoNode): // deleted meanwhile
		case err != nil:
			failed = &pathError{path, err}
		case ephemeral:
			left++
		default:
			if slices.ContainsFunc(n.ACL, masked) {
				hidden++
				first = cmp.Or(first, path)
			}
			failed = enc.Encode(n)
		}
	})
	if left > 0 {
		fmt.Fprintf(notes, "%d ephemeral znodes were left out\n", left)
	}
	if hidden > 0 && failed == nil && err == nil {
		return fmt.Errorf("the ACL of %s, the first %s, has no hashes, which are shown only to who may administer "+
			"the znode: give an --auth that may, or dump from a snapshot (--from)", counted(hidden, "znode"), first)
	}
	return errors.Join(failed, err)
}

func readNode(c *client.Client, path string) (n dumped, ephemeral bool, err error) {
	data, st, err := c.Get(path)
	if err != nil {
		return n, false, err
	}
	if st.EphemeralOwner != 0 {
		return n, true, nil
	}
	acls, _, err := c.ACL(path)
	if err != nil {
		return n, false, err
	}
	return dumpedOf(path, data, formatACL(acls)), false, nil
}

// masked says whether an entry of an ACL lacks its hash. Loaded so, it lets nobody in.
func masked(entry string) bool {
	return strings.HasPrefix(entry, "digest:") && strings.HasSuffix(entry[:strings.LastIndexByte(entry, ':')], ":x")
}

func dumpedOf(path string, data []byte, acl []string) dumped {
	n := dumped{Path: path, content: contentOf(data), ACL: acl}
	if len(acl) == 1 && acl[0] == openACL {
		n.ACL = nil
	}
	return n
}

func loadTree(in io.Reader, c *client.Client, at string, replace bool) (made, changed int, err error) {
	dec := json.NewDecoder(in)
	for number := 1; ; number++ {
		var n dumped
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			return made, changed, nil
		} else if err != nil {
			return made, changed, fmt.Errorf("znode %d of the dump: %w", number, err)
		}
		fresh, err := writeNode(c, at, &n, replace)
		if err != nil {
			return made, changed, &pathError{at + n.Path, fmt.Errorf("znode %d of the dump: %w", number, err)}
		}
		if fresh {
			made++
		} else {
			changed++
		}
	}
}

func writeNode(c *client.Client, at string, n *dumped, replace bool) (fresh bool, err error) {
	if !strings.HasPrefix(n.Path, "/") {
		return false, fmt.Errorf("%q is no path", n.Path)
	}
	data := n.Binary
	if n.Data != nil {
		data = []byte(*n.Data)
	}
	acls, err := parseACL(openACL)
	if len(n.ACL) > 0 {
		acls, err = parseACLs(n.ACL) // an id may have commas in it, as those of x509 do
	}
	if err != nil {
		return false, err
	}
	o := client.CreateOptions{ACL: acls}
	if o.Flags, o.TTL, err = n.kind(); err != nil {
		return false, err
	}
	path := at + n.Path
	if err := parents(c, path); err != nil {
		return false, err
	}
	_, err = c.Create(path, data, o)
	if o.TTL > 0 {
		err = withoutTTL(err)
	}
	if err == nil || !replace || !errors.Is(err, proto.ErrNodeExists) {
		return true, err
	}
	if _, err = c.Set(path, data, -1); err == nil {
		_, err = c.SetACL(path, acls, -1)
	}
	return false, err
}

// kind is what to make, and its TTL.
func (n *dumped) kind() (flags int32, ttl int64, err error) {
	switch {
	case n.Mode == modeTTL && n.TTL > 0 && n.TTL <= maxTTL:
		return proto.FlagTTL, n.TTL, nil
	case n.Mode == modeTTL || n.TTL != 0:
		return 0, 0, fmt.Errorf("mode %q with ttl %d: give mode ttl and 1 to %d milliseconds", n.Mode, n.TTL, maxTTL)
	case n.Mode == modeContainer:
		return proto.FlagContainer, 0, nil
	case n.Mode == "":
		return proto.FlagPersistent, 0, nil
	}
	return 0, 0, fmt.Errorf("mode %q: give container or ttl, or nothing for a persistent znode", n.Mode)
}

// parents makes what is missing above a path.
func parents(c *client.Client, path string) error {
	above := path[:strings.LastIndexByte(path, '/')]
	if above == "" {
		return nil
	}
	if _, err := c.Stat(above); !errors.Is(err, proto.ErrNoNode) {
		return err
	}
	if err := parents(c, above); err != nil {
		return err
	}
	_, err := c.Create(above, nil, client.CreateOptions{})
	if errors.Is(err, proto.ErrNodeExists) {
		return nil
	}
	return err
}
