package main

import (
	"encoding/base64"
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

// data reads an argument that stands for data: "-" is the standard input, "@FILE" a file.
func data(arg string) ([]byte, error) {
	switch {
	case arg == "-":
		return io.ReadAll(os.Stdin)
	case strings.HasPrefix(arg, "@"):
		return os.ReadFile(arg[1:])
	}
	return []byte(arg), nil
}

func (g *globals) writing() []*cobra.Command {
	return []*cobra.Command{g.create(), g.set(), g.delete(), g.deleteAll(), g.setACL()}
}

func (g *globals) create() *cobra.Command {
	var sequential, ephemeral, container bool
	var ttl int64
	cmd := &cobra.Command{
		Use: "create PATH [DATA [ACL]]", Args: cobra.RangeArgs(1, 3), ValidArgsFunction: g.completePath,
		Short: "Make a znode; DATA may be @FILE or - for the standard input",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("ttl") && (ttl < 1 || ttl > maxTTL) {
				return fmt.Errorf("-t %d: a TTL is 1 to %d milliseconds", ttl, maxTTL)
			}
			flags, err := flagsOf(sequential, ephemeral, container, ttl)
			if err != nil {
				return err
			}
			o := client.CreateOptions{Flags: flags, TTL: ttl}
			var value []byte
			if len(args) > 1 {
				if value, err = data(args[1]); err != nil {
					return err
				}
			}
			if len(args) > 2 {
				if o.ACL, err = parseACL(args[2]); err != nil {
					return err
				}
			}
			if ephemeral && g.shell == nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: an ephemeral znode ends with its session, and the session "+
					"with this "+
					"command: it is gone at once; zkctl shell has a session that stays")
			}
			return g.at(args[0], func(c *client.Client) error {
				path, err := c.Create(args[0], value, o)
				if ttl > 0 {
					err = withoutTTL(err)
				}
				switch {
				case err != nil:
					return err
				case g.json:
					return encode(cmd, map[string]string{"path": path})
				}
				fmt.Fprintln(cmd.OutOrStdout(), "Created", path)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&sequential, "sequential", "s", false, "append a number")
	f.BoolVarP(&ephemeral, "ephemeral", "e", false, "delete it with this command's session, which is at once")
	f.BoolVarP(&container, "container", "c", false, "delete it some time after its last child")
	f.Int64VarP(&ttl, "ttl", "t", 0, "delete it after so many milliseconds without a change")
	return cmd
}

// withoutTTL makes it clear what a server means that refuses a TTL.
func withoutTTL(err error) error {
	if errors.Is(err, proto.ErrUnimplemented) {
		return fmt.Errorf("the server makes no znodes with a TTL; set extendedTypesEnabled=true in the zoo.cfg of all "+
			"servers (%w)", err)
	}
	return err
}

const maxTTL = 0xffffffffff // milliseconds; 40 bits hold it. Source: EphemeralType.java

func flagsOf(sequential, ephemeral, container bool, ttl int64) (int32, error) {
	switch {
	case container && (sequential || ephemeral || ttl > 0):
		return 0, fmt.Errorf("-c goes with none of -s, -e and -t")
	case ttl > 0 && ephemeral:
		return 0, fmt.Errorf("-t does not go with -e")
	case container:
		return proto.FlagContainer, nil
	case ttl > 0 && sequential:
		return proto.FlagPersistentSequentialTTL, nil
	case ttl > 0:
		return proto.FlagTTL, nil
	}
	flags := proto.FlagPersistent
	if ephemeral {
		flags |= proto.FlagEphemeral
	}
	if sequential {
		flags |= proto.FlagSequential
	}
	return flags, nil
}

func (g *globals) set() *cobra.Command {
	var version int32
	var withStat, inBase64 bool
	cmd := &cobra.Command{
		Use: "set PATH DATA", Args: cobra.ExactArgs(2), Short: "Replace the data of a znode; DATA may be @FILE or -",
		ValidArgsFunction: g.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := data(args[1])
			if err == nil && inBase64 {
				value, err = base64.StdEncoding.DecodeString(string(value))
			}
			if err != nil {
				return err
			}
			return g.at(args[0], func(c *client.Client) error {
				st, err := c.Set(args[0], value, version)
				if err == nil && (withStat || g.json) {
					err = g.showStat(cmd, st)
				}
				return err
			})
		},
	}
	cmd.Flags().Int32VarP(&version, "version", "v", -1, "only if the znode has this version")
	cmd.Flags().BoolVarP(&withStat, "stat", "s", false, "print the Stat")
	cmd.Flags().BoolVarP(&inBase64, "base64", "b", false, "DATA is in base64")
	return cmd
}

func (g *globals) delete() *cobra.Command {
	var version int32
	cmd := g.onPath("delete", "Delete a znode without children",
		func(_ *cobra.Command, c *client.Client, path string) error { return c.Delete(path, version) })
	cmd.Flags().Int32VarP(&version, "version", "v", -1, "only if the znode has this version")
	return cmd
}

// notAll begins as zkCli's text does.
const notAll = "Failed to delete some node(s) in the subtree! "

func (g *globals) deleteAll() *cobra.Command {
	var batch int
	cmd := g.onPath("deleteall", "Delete a subtree", func(_ *cobra.Command, c *client.Client, path string) error {
		var paths []string
		if err := walk(c, path, func(p string) { paths = append(paths, p) }); err != nil {
			return err
		}
		slices.Reverse(paths)
		if batch < 1 {
			for _, p := range paths {
				if err := c.Delete(p, -1); err != nil {
					return &pathError{p, err}
				}
			}
			return nil
		}
		for some := range slices.Chunk(paths, batch) {
			if err := c.DeleteAll(some); err != nil {
				return errors.New(notAll + err.Error())
			}
		}
		return nil
	})
	cmd.Flags().IntVarP(&batch, "batch", "b", 1000, "znodes to delete in a transaction; 0 deletes one by one")
	return cmd
}

func (g *globals) setACL() *cobra.Command {
	var version int32
	var withStat, recursive bool
	cmd := &cobra.Command{
		Use: "setAcl PATH ACL", Args: cobra.ExactArgs(2), ValidArgsFunction: g.completePath,
		Short: "Say who may do what: scheme:id:perms with commas between, perms of the letters cdrwa",
		RunE: func(cmd *cobra.Command, args []string) error {
			acls, err := parseACL(args[1])
			if err != nil {
				return err
			}
			return g.at(args[0], func(c *client.Client) error {
				if recursive {
					return setACLs(c, args[0], acls, version)
				}
				st, err := c.SetACL(args[0], acls, version)
				if err == nil && (withStat || g.json) {
					err = g.showStat(cmd, st)
				}
				return err
			})
		},
	}
	cmd.Flags().Int32VarP(&version, "version", "v", -1, "only if the ACL has this version")
	cmd.Flags().BoolVarP(&withStat, "stat", "s", false, "print the Stat")
	cmd.Flags().BoolVarP(&recursive, "recursive", "R", false, "of the whole subtree")
	return cmd
}

// setACLs sets the ACL of a whole subtree, of as much of it as it may.
func setACLs(c *client.Client, top string, acls []proto.ACL, version int32) error {
	var paths []string // first, as the new ACL may forbid to look
	if err := walk(c, top, func(p string) { paths = append(paths, p) }); err != nil {
		return err
	}
	var errs []error
	for _, p := range paths {
		if _, err := c.SetACL(p, acls, version); err != nil {
			errs = append(errs, &pathError{p, err})
		}
	}
	if len(errs) > 1 {
		return fmt.Errorf("%d znodes keep their ACL; the first: %s", len(errs), explain(errs[0]))
	}
	return errors.Join(errs...)
}

// parseACL reads entries with commas between them.
func parseACL(text string) ([]proto.ACL, error) { return parseACLs(strings.Split(text, ",")) }

// parseACLs reads entries, scheme:id:perms each; the id may have colons in it.
func parseACLs(entries []string) ([]proto.ACL, error) {
	bits := map[rune]proto.Perms{
		'c': proto.PermCreate, 'd': proto.PermDelete, 'r': proto.PermRead, 'w': proto.PermWrite, 'a': proto.PermAdmin,
	}
	var acls []proto.ACL
	for _, entry := range entries {
		first, last := strings.IndexByte(entry, ':'), strings.LastIndexByte(entry, ':')
		if first < 0 || first == last {
			return nil, fmt.Errorf("ACL %q: give scheme:id:perms, for example world:anyone:cdrwa", entry)
		}
		a := proto.ACL{ID: proto.ID{Scheme: entry[:first], ID: entry[first+1 : last]}}
		for _, r := range entry[last+1:] {
			bit, ok := bits[r]
			if !ok {
				return nil, fmt.Errorf("ACL %q: %q is none of the permissions cdrwa", entry, r)
			}
			a.Perms |= bit
		}
		acls = append(acls, a)
	}
	return acls, nil
}
