package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/client"
	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

const configNode = "/zookeeper/config"

func (g *globals) configCommand() *cobra.Command {
	var withStat, addresses bool
	var watch *bool
	cmd := &cobra.Command{
		Use: "config", Short: "Print the ensemble's configuration; below it, about zkd's settings", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.at(configNode, func(c *client.Client) error {
				return watched(c, *watch, func() error {
					text, st, err := c.Get(configNode)
					if err != nil {
						return err
					}
					if addresses {
						text = []byte(clientAddresses(string(text)))
					}
					return g.showConfig(cmd, text, st, withStat)
				})
			})
		},
	}
	cmd.Flags().BoolVarP(&withStat, "stat", "s", false, "print the Stat too")
	cmd.Flags().BoolVarP(&addresses, "client", "c", false, "print its version and the addresses for clients")
	watch = watchFlag(cmd)
	cmd.Args = cobra.NoArgs
	cmd.AddCommand(&cobra.Command{
		Use: "explain KEY", Short: "Describe a setting of zoo.cfg", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, ok := config.Explain(args[0])
			if !ok {
				return errors.New(text)
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		},
	})
	return cmd
}

func (g *globals) showConfig(cmd *cobra.Command, text []byte, st proto.Stat, withStat bool) error {
	if g.json {
		return encode(cmd, map[string]any{"config": string(text), "stat": statOf(&st)})
	}
	fmt.Fprintln(cmd.OutOrStdout(), string(text))
	if withStat {
		printStat(cmd.OutOrStdout(), st)
	}
	return nil
}

// clientAddresses is the version of a configuration and the addresses of its servers for
// clients. Source: ConfigUtils.java, getClientConfigStr.
func clientAddresses(text string) string {
	version, list := "", []string(nil)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch _, addr, ok := strings.Cut(value, ";"); {
		case key == "version":
			version = value
		case ok && strings.HasPrefix(key, "server."):
			if !strings.Contains(addr, ":") {
				addr = net.JoinHostPort("0.0.0.0", addr)
			}
			list = append(list, addr)
		}
	}
	return version + " " + strings.Join(list, ",")
}

func (g *globals) reconfigCommand() *cobra.Command {
	var r client.Reconfig
	var withStat bool
	var version, file string
	cmd := &cobra.Command{
		Use: "reconfig", Short: "Change which servers the ensemble has", Args: cobra.NoArgs,
		Long: "reconfig sends the ensemble a new list of its servers, or what to add and to remove. The options may\n" +
			"have one dash, as in zkCli.",
		Example: "  zkctl reconfig --remove 3 --add 'server.5=zk5:2888:3888;2181'\n" +
			"  zkctl reconfig --file zoo.cfg.dynamic",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if r.From, err = versionOf(version); err != nil {
				return err
			}
			if file != "" {
				if r.Members, err = membersIn(file); err != nil {
					return err
				}
			}
			return g.at(configNode, func(c *client.Client) error {
				text, st, err := c.Reconfig(r)
				if err != nil {
					return err
				}
				if !g.json {
					fmt.Fprintln(cmd.OutOrStdout(), "Committed new configuration:")
				}
				return g.showConfig(cmd, text, st, withStat)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&withStat, "stat", "s", false, "print the Stat of the configuration too")
	f.StringVarP(&version, "version", "v", "", "only if the configuration has this version, in hexadecimal")
	f.StringVar(&file, "file", "", "file with the server lines of the new configuration")
	f.StringVar(&r.Members, "members", "", "server lines of the new configuration, with commas between")
	f.StringVar(&r.Joining, "add", "", "server lines to add, with commas between")
	f.StringVar(&r.Leaving, "remove", "", "numbers of servers to remove, with commas between")
	cmd.MarkFlagsOneRequired("file", "members", "add", "remove")
	for _, whole := range []string{"file", "members"} {
		cmd.MarkFlagsMutuallyExclusive(whole, "add")
		cmd.MarkFlagsMutuallyExclusive(whole, "remove")
	}
	cmd.MarkFlagsMutuallyExclusive("file", "members")
	return cmd
}

func versionOf(text string) (int64, error) {
	if text == "" {
		return -1, nil
	}
	n, err := strconv.ParseInt(text, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("-v %q: give the hexadecimal number that config prints as version", text)
	}
	return n, nil
}

// membersIn reads the lines of a file that tell of servers, and leaves out the others.
func membersIn(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(line), "=")
		key = strings.TrimSpace(key)
		switch kind, _, _ := strings.Cut(key, "."); kind {
		case "server", "group", "weight":
			lines = append(lines, key+"="+strings.TrimSpace(value))
		}
	}
	members := strings.Join(lines, "\n")
	if _, err := ensemble.ParseText(members); err != nil || len(lines) == 0 {
		return "", errors.Join(fmt.Errorf("%s: give lines such as server.1=zk1:2888:3888;2181", file), err)
	}
	return members, nil
}

// doubleDash writes zkCli's long options, which have one dash, with two.
func doubleDash(args []string) []string {
	args = append([]string(nil), args...)
	for i, a := range args {
		switch name, _, _ := strings.Cut(a, "="); name {
		case "-file", "-members", "-add", "-remove", "-server":
			args[i] = "-" + a
		}
	}
	return args
}

// Set when zkctl is linked for a release.
var version, built = "0.1.0-dev", "an unknown date"

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of zkctl", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(cmd.OutOrStdout(), "zkctl version: %s, built on %s\n", version, built)
			return nil
		},
	}
}
