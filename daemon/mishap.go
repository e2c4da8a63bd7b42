package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/transport"
)

// ErrDirectory says that a data directory cannot be used by who runs this.
var ErrDirectory = errors.New("daemon: data directory")

// denied are the errors of a system call that concern a directory that was named wrongly, or whose
// owner is another one. A doubtful disk is not among them.
var denied = []error{
	syscall.EACCES, syscall.EPERM, syscall.ENOTDIR, syscall.ENOENT, syscall.EROFS, syscall.ELOOP, syscall.ENAMETOOLONG,
}

// misplaced adds to an error of opening the store which setting names the directory, whose it is,
// and what to do.
func misplaced(err error, cfg *config.Config) error {
	var path *fs.PathError
	if !errors.As(err, &path) || ExitCode(err) != ExitFailure ||
		!slices.ContainsFunc(denied, func(d error) bool { return errors.Is(err, d) }) {
		return err
	}
	key, dir := "dataDir", cfg.DataDir
	if !within(path.Path, dir) && within(path.Path, cfg.DataLogDir) {
		key, dir = "dataLogDir", cfg.DataLogDir
	}
	if _, missing := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && missing == nil {
		return err // a file in it
	}
	advice := fmt.Sprintf("let %s write there (chown -R %s %s), or name another directory",
		config.Runner(), config.Runner(), dir)
	if !errors.Is(err, fs.ErrPermission) {
		advice = "name a directory that can be made or is there"
	}
	return fmt.Errorf("%w: %s: %s=%s: %w; %s; %s",
		ErrDirectory, cfg.Source(key), key, dir, err, config.Whose(path.Path), advice)
}

// within says whether a path is in a directory, or leads to it.
func within(path, dir string) bool {
	path, dir = filepath.Clean(path)+"/", filepath.Clean(dir)+"/"
	return strings.HasPrefix(path, dir) || strings.HasPrefix(dir, path)
}

// unbound tells of a port that cannot be listened on: which one it is, where it comes from, and
// what to do.
func (p *process) unbound(err error) error {
	var peers *transport.PortError
	if errors.As(err, &peers) {
		key := fmt.Sprintf("server.%d", p.cfg.ServerID)
		if peers.Port == transport.MasterPort {
			key = "observerMasterPort"
		}
		other := "correct the line " + key + " on all servers"
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			other += ", or set quorumListenOnAllIPs=true where another machine passes on what comes to that address"
		}
		return fmt.Errorf("%w: the %s port, %s, of %s: %s: %w; %s",
			ErrPort, peers.Port, peers.Addr, p.cfg.Source(key), key, peers.Err, remedy(err, peers.Addr, other))
	}
	var call *net.OpError
	if !errors.As(err, &call) && !errors.As(err, new(syscall.Errno)) {
		return err
	}
	addr := net.JoinHostPort(p.cfg.ClientPortAddress, strconv.Itoa(p.cfg.ClientPort))
	key := "clientPort"
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.As(err, new(*net.DNSError)) {
		key = "clientPortAddress"
	}
	return fmt.Errorf("%w: the port for clients, %s, of %s: %s: %w; %s",
		ErrPort, addr, p.cfg.Source(key), key, err, remedy(err, addr, "correct "+key))
}

// remedy says why an address cannot be listened on, and what to do; change is how the address is
// changed.
func remedy(err error, addr, change string) string {
	host, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return host + " is not an address of this machine: " + change
	case errors.As(err, new(*net.DNSError)):
		return "the address of " + host + " cannot be found: " + change
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("another process has the port (ss -ltnp 'sport = :%s' names it): end that one, or give "+
			"this server another port: %s", port, change)
	case errors.Is(err, syscall.EACCES):
		return config.Runner() + " may not listen on ports below 1024: choose another one: " + change
	}
	return change
}
