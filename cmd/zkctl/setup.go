package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/owner"
	"github.com/zkd-project/zkd/daemon/server"
	"github.com/zkd-project/zkd/daemon/store"
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
			"server's number to myid in its data directory; it makes these directories if they are missing. Nothing\n" +
			"else is changed, and nothing is restarted. It notes if this server's own name leads to where the\n" +
			"others cannot reach it; zkctl doctor looks at more.",
		Example: "  zkctl init --id 1 --server 1=zk1 --server 2=zk2 --server 3=zk3",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.ask(cmd.InOrStdin(), cmd.ErrOrStderr()); err != nil {
				return err
			}
			return s.write(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&s.file, "config", "c", defaultConfig, "the server's configuration")
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
	if s.keep {
		return nil
	}
	data, err := config.StorageOf(s.file)
	if err != nil {
		return err
	}
	cfg, err := config.LoadBeside(s.file)
	if err == nil && cfg.Ensemble != nil || err != nil && data.Listed {
		return nil // it is one of an ensemble, whose other servers have the data, too
	}
	at := running(cfg)
	znodes, err := strconv.Atoi(at.Znodes)
	if err != nil || at.Mode != "standalone" {
		znodes, err = stored(data)
	}
	if errors.Is(err, store.ErrInUse) && at.Mode != "" {
		return nil // it runs, and not on its own
	}
	if err != nil {
		return fmt.Errorf("it cannot be told whether this server has znodes, which would be lost to an ensemble that "+
			"begins with another one's: %w; have it run and answer, or give --keep-data if its znodes are to be the "+
			"ensemble's", err)
	}
	if znodes <= freshZnodes {
		return nil
	}
	dirs := strings.Join(slices.Compact([]string{data.DataDir, data.DataLogDir}), " ")
	return fmt.Errorf("this server has %d znodes, and an ensemble begins with the data of one server: if it is "+
		"this one, give --keep-data here alone, and start it first; if not: "+
		"systemctl stop zkd && find %s -mindepth 1 -delete", znodes, dirs)
}

// running asks the server of a configuration, which may be nil, how it is.
func running(cfg *config.Config) serverStatus {
	if cfg == nil {
		return serverStatus{}
	}
	g := &globals{timeout: time.Second}
	return g.ask(net.JoinHostPort(localAddress(cfg.ClientPortAddress), strconv.Itoa(cfg.ClientPort)))
}

// stored counts the znodes of a server that is stopped, as the word srvr does.
func stored(data config.Storage) (znodes int, err error) {
	o := store.Options{ImageDir: data.DataDir, LogDir: data.DataLogDir, Log: quietLog(), ReadOnly: true}
	found, err := store.HasData(o)
	if err != nil || !found {
		return 0, err
	}
	own := owner.Of("zkd", data.DataDir, data.DataLogDir)
	st, err := store.Open(o)
	if err != nil {
		return 0, errors.Join(err, own.Give())
	}
	t, err := server.Recover(st, treeOptions().Tree, quietLog(), nil, nil)
	if err = errors.Join(err, st.Close(), own.Give()); err != nil {
		return 0, err
	}
	return t.Counts().Znodes + 1, nil
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
	own := false
	fmt.Fprintf(&b, "# The servers of this ensemble, the same on all of them; zkctl init wrote it.\n")
	for _, server := range s.servers {
		id, rest, ok := strings.Cut(server, "=")
		n, err := strconv.ParseInt(id, 10, 64)
		if !ok || err != nil || rest == "" {
			return "", fmt.Errorf("--server %q: give N=HOST or N=HOST:2888:3888", server)
		}
		own = own || n == s.id
		colons := strings.Count(rest, ":")
		if strings.HasPrefix(rest, "[") {
			colons = strings.Count(rest[strings.IndexByte(rest, ']')+1:], ":")
		}
		if colons == 0 {
			rest += ":2888:3888"
		}
		fmt.Fprintf(&b, "server.%s=%s\n", id, rest)
	}
	if !own {
		return "", fmt.Errorf("--id %d: the servers are only %s; add --server %[1]d=HOST with this machine's host, "+
			"here and on the others", s.id, strings.Join(s.servers, " "))
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
	undo, err := remember(list, myid)
	if err != nil {
		return err
	}
	unmake, err := makeDirs(filepath.Dir(list), data)
	if err == nil {
		err = place(list, lines)
	}
	if err == nil {
		err = place(myid, id)
	}
	var cfg *config.Config
	if err == nil {
		cfg, err = config.LoadBeside(s.file)
	}
	if err != nil {
		if bad := errors.Join(undo(), unmake()); bad != nil {
			return fmt.Errorf("%w; and what was there before could not be put back: %w", err, bad)
		}
		return fmt.Errorf("nothing was changed: %w", err)
	}
	fmt.Fprintf(out, "%s lists %d servers, %s says that this one is %d.\n", list, len(s.servers), myid, s.id)
	if cfg.Ensemble != nil {
		for _, note := range misled(cfg) {
			fmt.Fprintf(out, "Note: %s.\n", note)
		}
	}
	fmt.Fprintf(out, "Next: systemctl restart zkd && zkctl wait && zkctl status\n")
	return nil
}

// remember reads files; undo puts them back as they were, or removes those that were not there.
func remember(paths ...string) (undo func() error, err error) {
	texts := make([][]byte, len(paths))
	there := make([]bool, len(paths))
	for i, path := range paths {
		texts[i], err = os.ReadFile(path)
		there[i] = err == nil
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return func() (err error) {
		for i, path := range paths {
			now, bad := os.ReadFile(path)
			switch {
			case there[i] && (bad != nil || !bytes.Equal(now, texts[i])):
				err = errors.Join(err, place(path, string(texts[i])))
			case !there[i] && !errors.Is(bad, os.ErrNotExist):
				err = errors.Join(err, os.Remove(path))
			}
		}
		return err
	}, nil
}

// dataDir is the data directory that a configuration names, which may be missing. The rest of the
// configuration may be wrong yet.
func dataDir(file string) (string, error) {
	dir, err := config.DataDir(file)
	if err != nil {
		return "", err
	}
	_, err = os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		_, err = os.Stat(filepath.Dir(dir))
	}
	if err != nil {
		return "", fmt.Errorf("the data directory %s: %w; make it for the user zkd, or correct dataDir in %s",
			dir, err, file)
	}
	return dir, nil
}

// makeDirs makes the directories of drop-ins and of data that are not there; undo takes them away
// again, with nothing in them.
func makeDirs(dropIns, data string) (undo func() error, err error) {
	var made []string
	own := owner.Of("zkd", data)
	for dir, mode := range map[string]os.FileMode{dropIns: 0o755, data: 0o750} { // as the packages make them
		bad := os.Mkdir(dir, mode)
		switch {
		case bad == nil:
			made = append(made, dir)
			err = errors.Join(err, os.Chmod(dir, mode)) // whatever the umask is
		case !errors.Is(bad, os.ErrExist):
			err = errors.Join(err, bad)
		}
	}
	if slices.Contains(made, data) {
		err = errors.Join(err, own.Give())
	}
	return func() (err error) {
		for _, dir := range made {
			err = errors.Join(err, os.Remove(dir))
		}
		return err
	}, err
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
