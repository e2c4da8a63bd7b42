package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/config"
)

// setup is what init writes.
type setup struct {
	file    string // the server's configuration
	id      int64
	servers []string // "1=host", "2=host:2888:3888", "3=host:2888:3888:observer"
	address string   // that clients connect to
	force   bool
	keep    bool // this server's znodes are what the ensemble begins with
}

func initCommand() *cobra.Command {
	s := new(setup)
	cmd := &cobra.Command{
		Use: "init", Args: cobra.NoArgs,
		Short: "Make this machine's server one of an ensemble; asks for what the flags leave out",
		Long: "init writes the list of servers to ensemble.cfg in the configuration's drop-in directory, and this\n" +
			"server's number to myid in its data directory. Nothing else is changed, and nothing is restarted.",
		Example: "  zkctl init --id 1 --server 1=zk1 --server 2=zk2 --server 3=zk3",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.ask(cmd.InOrStdin(), cmd.ErrOrStderr()); err != nil {
				return err
			}
			return s.write(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "/etc/zkd/zoo.cfg", "the server's configuration")
	f.Int64Var(&s.id, "id", 0, "this server's number")
	f.StringArrayVar(&s.servers, "server", nil, "N=HOST[:QUORUMPORT:ELECTIONPORT[:observer]]; once for each server")
	f.StringVar(&s.address, "client-address", "0.0.0.0", "address on which clients are served")
	f.BoolVar(&s.force, "force", false, "replace an ensemble.cfg or a myid that says something else")
	f.BoolVar(&s.keep, "keep-data", false, "the ensemble begins with this server's znodes; for one server only")
	return cmd
}

// freshZnodes is what the word srvr counts of a tree in which nobody has made anything.
const freshZnodes = 5

// lone fails if the server runs on its own and has data, which it would lose to the ensemble's.
func (s *setup) lone() error {
	cfg, err := config.Load(s.file)
	if err != nil || cfg.Ensemble != nil || s.keep {
		return nil // what is wrong shows when the list is there
	}
	g := &globals{timeout: time.Second}
	at := g.ask(net.JoinHostPort(localAddress(cfg.ClientPortAddress), strconv.Itoa(cfg.ClientPort)))
	if n, err := strconv.Atoi(at.Znodes); err != nil || at.Mode != "standalone" || n <= freshZnodes {
		return nil
	}
	return fmt.Errorf("this server has %s znodes, and an ensemble begins with the data of one server: if it is "+
		"this one, give --keep-data here alone, and start it first; if not: "+
		"systemctl stop zkd && find %s -mindepth 1 -delete",
		at.Znodes, cfg.DataDir)
}

// ask asks for what is missing.
func (s *setup) ask(in io.Reader, out io.Writer) error {
	r := bufio.NewReader(in)
	line := func(question string) (string, error) {
		fmt.Fprint(out, question)
		text, err := r.ReadString('\n')
		text = strings.TrimSpace(text)
		if err != nil && text == "" {
			return "", errors.New("init: --id and --server are needed where nobody can be asked")
		}
		return text, nil
	}
	for len(s.servers) == 0 {
		text, err := line("Hosts of all servers of the ensemble, with blanks between: ")
		if err != nil {
			return err
		}
		for i, host := range strings.Fields(text) {
			s.servers = append(s.servers, fmt.Sprintf("%d=%s", i+1, host))
			fmt.Fprintf(out, "  server %d is %s\n", i+1, host)
		}
	}
	for s.id == 0 {
		text, err := line("Number of this server: ")
		if err != nil {
			return err
		}
		if s.id, err = strconv.ParseInt(text, 10, 64); err != nil {
			fmt.Fprintf(out, "%q is not a number\n", text)
		}
	}
	return nil
}

// lines are the lines of ensemble.cfg.
func (s *setup) lines() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# The servers of this ensemble, the same on all of them; zkctl init wrote it.\n")
	for _, server := range s.servers {
		id, rest, ok := strings.Cut(server, "=")
		if _, err := strconv.ParseInt(id, 10, 64); !ok || err != nil || rest == "" {
			return "", fmt.Errorf("--server %q: give N=HOST or N=HOST:2888:3888", server)
		}
		colons := strings.Count(rest, ":")
		if strings.HasPrefix(rest, "[") {
			colons = strings.Count(rest[strings.IndexByte(rest, ']')+1:], ":")
		}
		if colons == 0 {
			rest += ":2888:3888"
		}
		fmt.Fprintf(&b, "server.%s=%s\n", id, rest)
	}
	fmt.Fprintf(&b, "clientPortAddress=%s\n", s.address)
	return b.String(), nil
}

func (s *setup) write(out io.Writer) error {
	lines, err := s.lines()
	if err != nil {
		return err
	}
	data, err := dataDir(s.file)
	if err == nil {
		err = s.lone()
	}
	if err != nil {
		return err
	}
	list, myid := filepath.Join(s.file+".d", "ensemble.cfg"), filepath.Join(data, "myid")
	id := fmt.Sprintf("%d\n", s.id)
	for path, text := range map[string]string{list: lines, myid: id} {
		old, err := os.ReadFile(path)
		if err == nil && string(old) != text && !s.force {
			return fmt.Errorf("%s says something else already; look at it, and give --force to replace it", path)
		}
	}
	before, existed := os.ReadFile(list)
	if err := place(list, lines); err != nil {
		return err
	}
	if err := place(myid, id); err != nil {
		return err
	}
	if _, err := config.Load(s.file); err != nil { // the old list is put back
		if existed == nil {
			err = errors.Join(err, place(list, string(before)))
		} else {
			err = errors.Join(err, os.Remove(list), os.Remove(myid))
		}
		return fmt.Errorf("nothing was changed: %w", err)
	}
	fmt.Fprintf(out, "%s lists %d servers, %s says that this one is %d.\n", list, len(s.servers), myid, s.id)
	fmt.Fprintf(out, "Next: systemctl restart zkd && zkctl wait && zkctl status\n")
	return nil
}

// dataDir is the data directory that a configuration names. The rest of it may be wrong yet.
func dataDir(file string) (string, error) {
	dir, err := config.DataDir(file)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("the data directory: %w; start the service once, or make it for the user zkd", err)
	}
	return dir, nil
}

// place puts a file in its place at once, owned by who owns the directory, and durably.
func place(path, text string) (err error) {
	dir := filepath.Dir(path)
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o644))
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		err = errors.Join(err, f.Chown(int(sys.Uid), int(sys.Gid)))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
