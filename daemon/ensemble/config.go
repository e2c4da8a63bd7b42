package ensemble

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Errors of Parse.
var (
	ErrSyntax  = errors.New("wrong syntax")
	ErrMembers = errors.New("wrong list of servers")
)

// MinID and MaxID bound server ids: an id is the high byte of session ids.
const (
	MinID = 1
	MaxID = 255
)

// Address is one place where a server can be reached by the others.
type Address struct {
	Host     string // a name or an IP address, without brackets
	Quorum   int    // port of the quorum protocol
	Election int    // port of the election
}

// Member is one server of an ensemble.
type Member struct {
	ID        int64
	Addresses []Address // at least one
	Observer  bool      // replicates and serves, but does not vote
	Client    string    // client address "host:port", empty if the list does not say
}

// Config is the composition of an ensemble.
type Config struct {
	Members []Member // in the order of their ids
	Groups  []Group  // none means that a majority of the participants is a quorum
	Weights map[int64]int64
	Version int64 // zxid at which it was established; 0 if a file does not tell
}

// Group is one group of a hierarchical quorum.
type Group struct {
	ID      int64
	Members []int64
}

// Setting is one line of a configuration that concerns the ensemble.
type Setting struct{ Key, Value string }

// Concerns says whether a key of zoo.cfg belongs to the list of servers.
func Concerns(key string) bool {
	return strings.HasPrefix(key, "server.") || strings.HasPrefix(key, "group.") || strings.HasPrefix(key, "weight.")
}

// Error says which setting of a list of servers is wrong.
type Error struct {
	Key string // "server.3", or empty if the list as a whole is wrong
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Key == "" {
		return e.Err.Error()
	}
	return e.Key + ": " + e.Err.Error()
}

// Unwrap is the reason.
func (e *Error) Unwrap() error { return e.Err }

// Parse reads a list of servers from the settings server.N, group.N and weight.N.
// Its errors are of type *Error and name the setting.
//
// Source: QuorumPeerConfig.java and QuorumPeer.java, QuorumServer.
func Parse(settings []Setting) (*Config, error) {
	c := &Config{Weights: make(map[int64]int64)}
	for _, s := range settings {
		if err := c.add(s); err != nil {
			return nil, &Error{s.Key, err}
		}
	}
	slices.SortFunc(c.Members, func(a, b Member) int { return int(a.ID - b.ID) })
	slices.SortFunc(c.Groups, func(a, b Group) int { return int(a.ID - b.ID) })
	return c, c.check()
}

func (c *Config) add(s Setting) error {
	kind, number, _ := strings.Cut(s.Key, ".")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %q is no number", ErrSyntax, number)
	}
	switch kind {
	case "server":
		m, err := parseMember(id, s.Value)
		if err != nil {
			return err
		}
		c.Members = append(c.Members, m)
	case "group":
		g := Group{ID: id}
		for part := range strings.SplitSeq(s.Value, ":") {
			member, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
			if err != nil {
				return fmt.Errorf("%w: %q is no server id; write group.%d=1:2:3", ErrSyntax, part, id)
			}
			g.Members = append(g.Members, member)
		}
		c.Groups = append(c.Groups, g)
	case "weight":
		w, err := strconv.ParseInt(strings.TrimSpace(s.Value), 10, 32)
		if err != nil || w < 0 {
			return fmt.Errorf("%w: %q is no weight; it has to be a number from 0 up", ErrSyntax, s.Value)
		}
		c.Weights[id] = w
	default:
		return fmt.Errorf("%w: unknown key", ErrSyntax)
	}
	return nil
}

// form is what errors tell to write.
const form = "host:quorumPort:electionPort[:participant|observer][;[clientHost:]clientPort]"

func parseMember(id int64, value string) (Member, error) {
	m := Member{ID: id}
	if id < MinID || id > MaxID {
		return m, fmt.Errorf("%w: server ids go from %d to %d", ErrMembers, MinID, MaxID)
	}
	servers, client, hasClient := strings.Cut(strings.TrimSpace(value), ";")
	for i, part := range strings.Split(servers, "|") {
		a, observer, err := parseAddress(part)
		if err != nil {
			return m, err
		}
		if i > 0 && observer != m.Observer {
			return m, fmt.Errorf("%w: the addresses of one server name different roles", ErrSyntax)
		}
		m.Addresses, m.Observer = append(m.Addresses, a), observer
	}
	if hasClient {
		host, port := "0.0.0.0", strings.TrimSpace(client)
		if i := strings.LastIndexByte(port, ':'); i >= 0 {
			host, port = strings.TrimSpace(port[:i]), port[i+1:]
			if ip, ok := strings.CutPrefix(host, "["); ok {
				host = strings.TrimSuffix(ip, "]")
			}
		}
		if err := checkHost(host); err != nil {
			return m, err
		}
		if _, err := parsePort(port); err != nil {
			return m, fmt.Errorf("client port: %w", err)
		}
		m.Client = JoinHostPort(host, port)
	}
	return m, nil
}

func parseAddress(s string) (a Address, observer bool, err error) {
	host, rest, err := cutHost(strings.TrimSpace(s))
	if err != nil {
		return a, false, err
	}
	parts := strings.Split(rest, ":")
	if host == "" || len(parts) < 2 || len(parts) > 3 {
		return a, false, fmt.Errorf("%w: %q is not of the form %s", ErrSyntax, s, form)
	}
	if err = checkHost(host); err != nil {
		return a, false, err
	}
	a.Host = host
	if a.Quorum, err = parsePort(parts[0]); err != nil {
		return a, false, fmt.Errorf("quorum port: %w", err)
	}
	if a.Election, err = parsePort(parts[1]); err != nil {
		return a, false, fmt.Errorf("election port: %w", err)
	}
	if a.Quorum == a.Election {
		return a, false, fmt.Errorf("%w: the quorum port and the election port are both %d; give them different ones",
			ErrMembers, a.Quorum)
	}
	if len(parts) == 3 {
		switch strings.ToLower(parts[2]) {
		case "observer":
			observer = true
		case "participant":
		default:
			return a, false, fmt.Errorf("%w: %q is no role; write participant or observer", ErrSyntax, parts[2])
		}
	}
	return a, observer, nil
}

// cutHost splits off the host; an IPv6 address stands in brackets.
func cutHost(s string) (host, rest string, err error) {
	if !strings.HasPrefix(s, "[") {
		host, rest, _ = strings.Cut(s, ":")
		return host, rest, nil
	}
	host, rest, ok := strings.Cut(s[1:], "]")
	if !ok || !strings.HasPrefix(rest, ":") {
		return "", "", fmt.Errorf("%w: %q has an IPv6 address without its closing bracket", ErrSyntax, s)
	}
	return host, rest[1:], nil
}

// checkHost refuses what cannot be a part of a host's name or address, but of a setting's form.
func checkHost(host string) error {
	for _, r := range host {
		if r <= ' ' || r == 0x7f || unicode.IsSpace(r) || strings.ContainsRune("[]|;,=", r) {
			return fmt.Errorf("%w: %q is no host: %q cannot be in one", ErrSyntax, host, r)
		}
	}
	return nil
}

func parsePort(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("%w: %q is no port; it has to be a number from 1 to 65535", ErrSyntax, s)
	}
	return n, nil
}

// check looks at the list as a whole.
func (c *Config) check() error {
	at := make(map[string]int64)
	participants := 0
	for i, m := range c.Members {
		if i > 0 && c.Members[i-1].ID == m.ID {
			return &Error{memberKey(m.ID), fmt.Errorf("%w: server %d is listed twice, at %s and at %s; "+
				"give each server an id of its own, or remove one of the lines", ErrMembers,
				m.ID, c.Members[i-1].Addresses[0].Host, m.Addresses[0].Host)}
		}
		if !m.Observer {
			participants++
		}
		for _, a := range m.Addresses {
			for _, port := range []int{a.Quorum, a.Election} {
				key := JoinHostPort(strings.ToLower(a.Host), strconv.Itoa(port))
				if other, taken := at[key]; taken {
					return &Error{memberKey(m.ID), fmt.Errorf("%w: %s", ErrMembers, twice(other, m.ID, key))}
				}
				at[key] = m.ID
			}
		}
	}
	if len(c.Members) > 0 && participants == 0 {
		return &Error{"", fmt.Errorf("%w: all servers are observers; somebody has to vote", ErrMembers)}
	}
	return c.checkGroups()
}

// twice tells of an address that is in the list twice.
func twice(a, b int64, addr string) string {
	if a == b {
		return fmt.Sprintf("server %d has the address %s twice; leave one of them out", a, addr)
	}
	return fmt.Sprintf("servers %d and %d both have the address %s; correct one of the two lines", a, b, addr)
}

func memberKey(id int64) string { return "server." + strconv.FormatInt(id, 10) }

func (c *Config) checkGroups() error {
	for _, id := range slices.Sorted(maps.Keys(c.Weights)) {
		key := "weight." + strconv.FormatInt(id, 10)
		switch {
		case c.Member(id) == nil:
			return &Error{key, fmt.Errorf("%w: there is no server %d", ErrMembers, id)}
		case len(c.Groups) == 0:
			return &Error{key, fmt.Errorf("%w: a server weighs something only within a group; write group.N lines "+
				"with all servers that vote, or remove the weights", ErrMembers)}
		}
	}
	if len(c.Groups) == 0 {
		return nil
	}
	group := make(map[int64]int64)
	for _, g := range c.Groups {
		key := "group." + strconv.FormatInt(g.ID, 10)
		for _, id := range g.Members {
			if c.Member(id) == nil {
				return &Error{key, fmt.Errorf("%w: there is no server %d", ErrMembers, id)}
			}
			if other, taken := group[id]; taken {
				return &Error{key, fmt.Errorf("%w: server %d is in group %d already", ErrMembers, id, other)}
			}
			group[id] = g.ID
		}
	}
	for _, m := range c.Members {
		if _, grouped := group[m.ID]; !grouped && !m.Observer {
			return &Error{memberKey(m.ID), fmt.Errorf("%w: the server votes but is in no group; "+
				"name it in a group.N line", ErrMembers)}
		}
	}
	if !c.HasQuorum(func(int64) bool { return true }) {
		return &Error{"", fmt.Errorf("%w: no group weighs anything, so that nobody could be elected; give a server of "+
			"each group a weight.N above 0", ErrMembers)}
	}
	return nil
}

// Member is the server with an id, nil if there is none.
func (c *Config) Member(id int64) *Member {
	for i := range c.Members {
		if c.Members[i].ID == id {
			return &c.Members[i]
		}
	}
	return nil
}

// SameServers says whether two configurations have the same servers with the same say, so that
// they differ in addresses at most.
func (c *Config) SameServers(other *Config) bool {
	if len(c.Members) != len(other.Members) {
		return false
	}
	for i := range c.Members {
		a, b := &c.Members[i], &other.Members[i]
		if a.ID != b.ID || a.Observer != b.Observer || c.Weight(a.ID) != other.Weight(b.ID) {
			return false
		}
	}
	return slices.EqualFunc(c.Groups, other.Groups, func(a, b Group) bool {
		return a.ID == b.ID && slices.Equal(a.Members, b.Members)
	})
}

// Votes says whether a server is a participant.
func (c *Config) Votes(id int64) bool {
	m := c.Member(id)
	return m != nil && !m.Observer
}

// Voters calls f for each participant in the order of their ids.
func (c *Config) Voters(f func(id int64)) {
	for i := range c.Members {
		if !c.Members[i].Observer {
			f(c.Members[i].ID)
		}
	}
}

// JoinHostPort joins a host and a port; an IPv6 address gets brackets.
func JoinHostPort(host, port string) string {
	if strings.ContainsRune(host, ':') {
		host = "[" + host + "]"
	}
	return host + ":" + port
}
