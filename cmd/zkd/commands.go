package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"text/tabwriter"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon"
	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/owner"
)

const defaultFile = "/etc/zkd/zoo.cfg"

// logger makes the log. A level on the command line goes before the configuration's, as the
// environment does, so that it holds after a reload, too.
func logger(cmd *cobra.Command) (*logrus.Logger, error) {
	level, err := cmd.Flags().GetString("log-level")
	if err != nil {
		return nil, err
	}
	format, err := cmd.Flags().GetString("log-format")
	if err != nil {
		return nil, err
	}
	if level == "" {
		level = "info"
	} else if err := os.Setenv(config.EnvName("logLevel"), level); err != nil {
		return nil, err
	}
	log, err := daemon.NewLogger(level, format)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrConfig, err)
	}
	return log, nil
}

// told is an error that the log has told of.
type told struct{ error }

func (t told) Unwrap() error { return t.error }

// run runs the daemon with a configuration file.
func run(cmd *cobra.Command, file string) error {
	log, err := logger(cmd)
	if err != nil {
		return err
	}
	cfg, err := config.Load(file)
	if err == nil {
		err = daemon.Run(cmd.Context(), cfg, log, nil)
	}
	if err != nil {
		daemon.Fail(log, err)
		return told{err}
	}
	return nil
}

func runCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "run", Short: "Run the daemon in the foreground"}
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("%w: run takes the file with -c: zkd run -c %s", config.ErrConfig, args[0])
		}
		return nil
	}
	file := cmd.Flags().StringP("config", "c", defaultFile, "configuration file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd, *file) }
	return cmd
}

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check-config [FILE]", Short: "Check a configuration and print every setting with its source",
		Args: cobra.MaximumNArgs(1),
	}
	file := cmd.Flags().StringP("config", "c", defaultFile, "configuration file")
	quiet := cmd.Flags().BoolP("quiet", "q", false, "print only what is wrong")
	strict := cmd.Flags().Bool("strict", false, "a warning is an error, too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			*file = args[0]
		}
		cfg, err := config.LoadBeside(*file)
		var wrong *config.Wrong
		if errors.As(err, &wrong) {
			for _, line := range wrong.Report() {
				fmt.Fprintln(cmd.ErrOrStderr(), line)
			}
			return told{err}
		}
		if err != nil || *quiet && !*strict {
			return err
		}
		warnings := append(cfg.Warnings, cfg.Probe()...)
		if !*quiet {
			if err := printSettings(cmd.OutOrStdout(), cfg); err != nil {
				return err
			}
		}
		for _, w := range warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
		}
		for _, u := range cfg.Unread {
			fmt.Fprintln(cmd.ErrOrStderr(), "not checked:", u)
		}
		if n := len(warnings); *strict && n > 0 {
			return fmt.Errorf("%w: warnings: %d, which --strict does not accept", config.ErrConfig, n)
		}
		return nil
	}
	return cmd
}

func printSettings(to io.Writer, cfg *config.Config) error {
	out := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "SETTING\tVALUE\tSOURCE\tCLASS")
	for _, s := range cfg.Settings {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", s.Key, s.Shown(), s.Source, s.Class)
	}
	return out.Flush()
}

func recoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "recover", Short: "Check the data directories of a stopped server, and mend them", Args: cobra.NoArgs,
	}
	file := cmd.Flags().StringP("config", "c", defaultFile, "configuration file")
	accept := cmd.Flags().Bool("accept-loss", false, "keep what is whole of a damaged log and move the rest aside")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := logger(cmd)
		if err != nil {
			return err
		}
		cfg, err := config.LoadBeside(*file)
		if err != nil {
			return err
		}
		own := owner.Of("zkd", cfg.DataDir, cfg.DataLogDir)
		zxid, err := daemon.Check(cfg, log, *accept)
		if err := errors.Join(err, own.Give()); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), "The data are whole up to zxid", zxid)
		return nil
	}
	return cmd
}

// reloadCommand is what "systemctl reload" runs: a wrong configuration makes it fail.
func reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reload PID", Short: "Check the configuration and make a running daemon read it again",
		Args: cobra.ExactArgs(1),
	}
	file := cmd.Flags().StringP("config", "c", defaultFile, "configuration file")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		pid, err := strconv.Atoi(args[0])
		if err != nil || pid <= 1 {
			return fmt.Errorf("%q is not the id of a process", args[0])
		}
		if _, err := config.LoadBeside(*file); err != nil {
			return err
		}
		if err := runsFile(pid, *file); err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
		return nil
	}
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), "zkd", daemon.Version, "speaking the protocol of", daemon.ProtocolVersion())
		},
	}
}
