package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/client"
	"github.com/zkd-project/zkd/daemon/proto"
)

// dumped is a znode in a dump: one JSON object a line, parents first. Data that are no text
// are in base64; a znode whose data are null has neither.
type dumped struct {
	Path   string   `json:"path"`
	Data   *string  `json:"data,omitempty"`
	Binary []byte   `json:"binary,omitempty"`
	ACL    []string `json:"acl,omitempty"` // scheme:id:perms; none is world:anyone:cdrwa
}

const openACL = "world:anyone:cdrwa"

func (g *globals) transfer() []*cobra.Command {
	dump := g.onPath("dump", "Print a subtree as JSON, one znode a line; ephemeral znodes are left out",
		func(cmd *cobra.Command, c *client.Client, path string) error {
			return dumpTree(cmd.OutOrStdout(), cmd.ErrOrStderr(), c, path)
		})
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
	return []*cobra.Command{dump, load}
}

func dumpTree(out, notes io.Writer, c *client.Client, top string) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	var failed error
	left := 0
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
			failed = enc.Encode(n)
		}
	})
	if left > 0 {
		fmt.Fprintf(notes, "%d ephemeral znodes were left out\n", left)
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
	n.Path = path
	switch {
	case data == nil:
	case utf8.Valid(data):
		text := string(data)
		n.Data = &text
	default:
		n.Binary = data
	}
	n.ACL = formatACL(acls)
	if len(n.ACL) == 1 && n.ACL[0] == openACL {
		n.ACL = nil
	}
	return n, false, nil
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
		acls, err = parseACL(strings.Join(n.ACL, ","))
	}
	if err != nil {
		return false, err
	}
	path := at + n.Path
	if err := parents(c, path); err != nil {
		return false, err
	}
	_, err = c.Create(path, data, client.CreateOptions{ACL: acls})
	if err == nil || !replace || !errors.Is(err, proto.ErrNodeExists) {
		return true, err
	}
	if _, err = c.Set(path, data, -1); err == nil {
		_, err = c.SetACL(path, acls, -1)
	}
	return false, err
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
