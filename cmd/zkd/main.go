// Command zkd is the ZooKeeper daemon.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	root := &cobra.Command{
		Use:           "zkd [FILE]",
		Short:         "ZooKeeper's job, done by a native daemon",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return run(cmd, args[0])
		},
		Version: daemon.ProtocolVersion(),
	}
	root.PersistentFlags().String("log-level", "", "trace, debug, info, warn or error; default: the setting logLevel")
	root.PersistentFlags().String("log-format", "auto", "auto (the journal under systemd), text or json")
	root.AddCommand(runCommand(), checkCommand(), reloadCommand(), recoverCommand(), versionCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		if !errors.As(err, new(told)) {
			fmt.Fprintln(os.Stderr, "zkd:", err)
		}
		os.Exit(daemon.ExitCode(err))
	}
}
