// Command zkctl is the tool of zkd's operators and users. It works with any ZooKeeper
// server.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/client"
	"github.com/zkd-project/zkd/daemon/proto"
)

// globals are the flags of every command.
type globals struct {
	servers string
	timeout time.Duration
	auth    []string
	json    bool
	output  string

	shell *shell // whose session commands use, if they run in a shell
}

// extra are commands of special builds.
var extra []func() *cobra.Command

func main() {
	g := new(globals)
	root := newRoot(g)
	root.SetArgs(doubleDash(os.Args[1:]))
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, explain(err))
		os.Exit(exitCode(err))
	}
}

// unknownError is a command that does not exist.
type unknownError struct{ name string }

func (e *unknownError) Error() string {
	return "Command not found " + e.name + "; help lists them"
}

// exitCode is the code with which zkctl ends after an error, the same as zkCli's.
func exitCode(err error) int {
	var unknown *unknownError
	if errors.As(err, &unknown) {
		return 127
	}
	return 1
}

// newRoot makes the command with all that belong to it.
func newRoot(g *globals) *cobra.Command {
	def := os.Getenv("ZKCTL_SERVER")
	if def == "" {
		def = "127.0.0.1:2181"
	}
	root := &cobra.Command{
		Use: "zkctl", Short: "Use and look after ZooKeeper servers", SilenceUsage: true, SilenceErrors: true,
		Long: "zkctl reads and changes znodes, and asks servers, zkd's and Apache's, how they are.",
		Example: "  zkctl create /app '{\"on\": true}'\n  zkctl get -s /app\n" +
			"  zkctl --server zk1:2181,zk2:2181,zk3:2181 status\n  zkctl config explain tickTime",
	}
	f := root.PersistentFlags()
	f.StringVar(&g.servers, "server", def, "servers, host:port with commas between (also $ZKCTL_SERVER)")
	f.DurationVar(&g.timeout, "timeout", 10*time.Second, "time for the connection, the session and each request")
	f.StringArrayVar(&g.auth, "auth", nil, "identity, for example digest:user:password; may be repeated")
	f.BoolVar(&g.json, "json", false, "the same as --output json")
	f.StringVarP(&g.output, "output", "o", "table", "table or json")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if g.output != "table" && g.output != "json" {
			return fmt.Errorf("--output %q: give table or json", g.output)
		}
		g.json = g.json || g.output == "json"
		return nil
	}
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &unknownError{args[0]}
		}
		return nil
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error { return g.runShell(cmd) }
	root.AddCommand(g.reading()...)
	root.AddCommand(g.writing()...)
	root.AddCommand(g.quotas()...)
	root.AddCommand(g.watching()...)
	root.AddCommand(g.transfer()...)
	root.AddCommand(g.offline()...)
	root.AddCommand(g.statusCommand(), g.waitCommand(), g.doctorCommand(), g.shellCommand())
	root.AddCommand(g.configCommand(), g.reconfigCommand(), versionCommand(), initCommand())
	for _, command := range extra {
		root.AddCommand(command())
	}
	root.SetFlagErrorFunc(flagError)
	tellUsage(root.Commands())
	return root
}

// pathError is a failure that concerns a path.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string {
	if text := e.err.Error(); strings.Contains(text, e.path) {
		return text // which names it
	}
	return e.path + ": " + e.err.Error()
}
func (e *pathError) Unwrap() error { return e.err }

// explain turns an error into the text that zkCli prints, which scripts look for.
func explain(err error) string {
	path := ""
	var at *pathError
	if errors.As(err, &at) {
		path = at.path
	}
	var code proto.ErrCode
	switch {
	case errors.As(err, &code):
	case errors.Is(err, io.EOF):
		return err.Error() + ": the server has closed the connection, as it does without a quorum; " +
			"zkctl status tells more"
	case errors.Is(err, os.ErrPermission):
		return err.Error() + "; run it as root"
	default:
		return err.Error()
	}
	texts := map[proto.ErrCode]string{
		proto.ErrNoNode: "Node does not exist: ", proto.ErrNodeExists: "Node already exists: ",
		proto.ErrNotEmpty: "Node not empty: ", proto.ErrNoAuth: "Insufficient permission : ",
		proto.ErrNoChildrenForEphemerals: "Ephemerals cannot have children: ",
		proto.ErrBadVersion:              "version No is not valid : ", proto.ErrInvalidACL: "Acl is not valid : ",
		proto.ErrBadArguments: "Arguments are not valid : ", proto.ErrNotReadOnly: "Not a read-only call: ",
		proto.ErrQuotaExceeded: "Quota has exceeded : ", proto.ErrNoWatcher: "KeeperErrorCode = No such watcher for ",
	}
	if text, ok := texts[code]; ok {
		return text + path
	}
	switch code {
	case proto.ErrReconfigInProgress:
		return "Another reconfiguration is in progress -- concurrent reconfigs not supported (yet)"
	case proto.ErrNewConfigNoQuorum:
		return "No quorum of new config is connected and up-to-date with the leader of last committed config" +
			" - try invoking reconfiguration after new servers are connected and synced"
	}
	return err.Error()
}

// with runs f in a session.
func (g *globals) with(f func(*client.Client) error) (err error) {
	if g.shell != nil {
		return g.shell.with(f)
	}
	c, err := client.Dial(g.servers, g.timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := g.prove(c); err != nil {
		return err
	}
	return f(c)
}

// prove gives the identities of --auth.
func (g *globals) prove(c *client.Client) error {
	for _, a := range g.auth {
		scheme, data, ok := cut(a)
		if !ok {
			return fmt.Errorf("--auth %q: give a scheme, a colon and what proves it", a)
		}
		if err := c.Auth(scheme, data); err != nil {
			return err
		}
	}
	return nil
}
