package config

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lookupLimit bounds the search for the address of a name.
const lookupLimit = 5 * time.Second

// Source is where a setting comes from: file:line, an environment variable, or "default".
func (c *Config) Source(key string) string {
	for i := range c.Settings {
		if c.Settings[i].Key == key {
			return c.Settings[i].Source
		}
	}
	return c.File
}

// Probe looks whether this machine, and who runs this, have what the configuration names, and
// returns a warning for each thing that is missing. It changes nothing.
func (c *Config) Probe() (found []string) {
	add := func(key, problem string) {
		if problem != "" {
			found = append(found, fmt.Sprintf("%s: %s: %s", c.Source(key), key, problem))
		}
	}
	add("dataDir", c.probeDir(c.DataDir))
	if c.DataLogDir != c.DataDir {
		add("dataLogDir", c.probeDir(c.DataLogDir))
	}
	add("clientPortAddress", probeHost(c.ClientPortAddress))
	if c.Ensemble != nil && !c.ListenAll {
		for _, a := range c.Ensemble.Member(c.ServerID).Addresses {
			add(fmt.Sprintf("server.%d", c.ServerID), probeHost(a.Host))
		}
	}
	return found
}

// probeDir says what keeps who runs this from using a data directory, "" for nothing.
func (c *Config) probeDir(dir string) string {
	st, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		if !c.AutocreateDirs {
			return dir + " does not exist, and datadir.autocreate=false; make it"
		}
		for dir = filepath.Dir(filepath.Clean(dir)); ; dir = filepath.Dir(dir) {
			if st, err = os.Stat(dir); !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
				break
			}
		}
	}
	if err == nil && !st.IsDir() {
		return dir + " is not a directory"
	}
	if err == nil {
		err = unix.Faccessat(unix.AT_FDCWD, dir, unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	}
	var fs unix.Statfs_t
	if err == nil && unix.Statfs(dir, &fs) == nil && (fs.Type == unix.PROC_SUPER_MAGIC || fs.Type == unix.SYSFS_MAGIC) {
		return dir + " is no place for files"
	}
	if err != nil {
		return fmt.Sprintf("%s cannot be used: %v: %s", dir, err, Whose(dir))
	}
	return ""
}

// probeHost says why a host cannot be listened on here, "" if it can.
func probeHost(host string) string {
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err == nil {
		_ = l.Close()
		return ""
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return host + " is not an address of this machine"
	case errors.As(err, &dns):
		return fmt.Sprintf("the address of %s cannot be found: %v", host, err)
	}
	return fmt.Sprintf("%s cannot be listened on: %v", host, err)
}
