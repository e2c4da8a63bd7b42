package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

// standaloneID is the id of a server on its own.
const standaloneID = 1

// join reads the list of servers, and finds this server in it.
func (c *Config) join(l *loader) error {
	c.ServerID = standaloneID
	list, err := ensemble.Parse(l.members)
	if err != nil {
		var e *ensemble.Error
		source := c.File
		if errors.As(err, &e) && l.source[e.Key] != "" {
			source = l.source[e.Key]
		}
		return fmt.Errorf("%w: %s: %w", ErrConfig, source, err)
	}
	if len(list.Members) == 0 || len(list.Members) == 1 && c.Standalone {
		return nil
	}
	if err := c.readMyID(list); err != nil {
		return err
	}
	me := list.Member(c.ServerID)
	line := fmt.Sprintf("server.%d", c.ServerID)
	role := "participant"
	if me.Observer {
		role = "observer"
	}
	if c.PeerType != "" && !strings.EqualFold(c.PeerType, role) {
		return fmt.Errorf("%w: %s: peerType: it is %s, but %s: %s makes this server %s; let them agree",
			ErrConfig, l.source["peerType"], c.PeerType, l.source[line], line, role)
	}
	if me.Client != "" && l.source["clientPort"] == "" {
		host, port, err := net.SplitHostPort(me.Client)
		if err != nil {
			return fmt.Errorf("%w: %s: %s: %w", ErrConfig, l.source[line], line, err)
		}
		if c.ClientPort, err = strconv.Atoi(port); err != nil {
			return fmt.Errorf("%w: %s: %s: %w", ErrConfig, l.source[line], line, err)
		}
		if c.ClientPortAddress == "" && host != "0.0.0.0" {
			c.ClientPortAddress = host
		}
	}
	if n := voters(list); n%2 == 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%d servers vote: an ensemble with an even number of them "+
			"survives no more failures than one with %d", n, n-1))
	}
	c.Ensemble = list
	return nil
}

func voters(list *ensemble.Config) (n int) {
	list.Voters(func(int64) { n++ })
	return n
}

// readMyID reads which of the servers this one is.
func (c *Config) readMyID(list *ensemble.Config) error {
	file := filepath.Join(c.DataDir, "myid")
	text, err := os.ReadFile(file)
	if err != nil {
		first := list.Members[0].ID
		return fmt.Errorf("%w: %w: the file must hold the id of this server, one of %s; "+
			"for server.%d write: echo %d > %s", ErrConfig, err, ids(list), first, first, file)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	id, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %s holds %q and not the id of this server, one of %s", ErrConfig, file, line, ids(list))
	}
	if list.Member(id) == nil {
		return fmt.Errorf("%w: %s says that this is server %d, but %s lists only %s; correct one of the two",
			ErrConfig, file, id, c.File, ids(list))
	}
	c.ServerID = id
	return nil
}

// ids lists the servers with their hosts.
func ids(list *ensemble.Config) string {
	parts := make([]string, len(list.Members))
	for i := range list.Members {
		parts[i] = fmt.Sprintf("%d (%s)", list.Members[i].ID, list.Members[i].Addresses[0].Host)
	}
	return strings.Join(parts, ", ")
}
