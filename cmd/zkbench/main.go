// Command zkbench loads a ZooKeeper server, Apache's or zkd, and measures it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	var o options
	var asJSON bool
	root := &cobra.Command{
		Use:   "zkbench WORKLOAD",
		Short: "Load a ZooKeeper server and measure it",
		Long: "Workloads: reads, writes, mixed, children, sessions, reconnect, idle, fanout, load, openloop,\n" +
			"restart, which starts and kills a server with --nodes znodes, and disk, which watches its files.\n" +
			"The server's process, given by --pid, is measured too: CPU time and resident memory.",
		Args:          cobra.ExactArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := run(args[0], o)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			fmt.Fprintln(cmd.OutOrStdout(), r)
			return nil
		},
	}
	f := root.Flags()
	f.StringVar(&o.addr, "server", "127.0.0.1:2181", "address of the server, or of several with commas between")
	f.IntSliceVar(&o.pid, "pid", nil, "processes of the servers, to be measured")
	f.IntVar(&o.conns, "conns", 16, "connections")
	f.IntVar(&o.window, "window", 64, "requests under way on each connection")
	f.IntVar(&o.size, "size", 100, "bytes of data of a znode")
	f.IntVar(&o.nodes, "nodes", 10_000, "znodes")
	f.DurationVar(&o.time, "time", 5*time.Second, "how long to measure")
	f.IntVar(&o.rate, "rate", 2000, "requests a second, of openloop")
	f.IntVar(&o.ops, "ops", 0, "stop after so many requests, or restarts, instead of after --time")
	f.StringVar(&o.start, "start", "", "command that starts the server, of restart; its data must be empty before")
	f.StringSliceVar(&o.dirs, "dir", nil, "directories of the server's files, of disk")
	f.DurationVar(&o.every, "every", 250*time.Millisecond, "length of a window, of disk")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "zkbench:", err)
		os.Exit(1)
	}
}
