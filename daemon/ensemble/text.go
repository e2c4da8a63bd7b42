package ensemble

import (
	"fmt"
	"strconv"
	"strings"
)

// String is the configuration as servers exchange it and as /zookeeper/config shows it:
// a line for each server, group and weight, and the version, without a newline at the
// end. Source: QuorumVerifier implementations, toString.
func (c *Config) String() string {
	var b strings.Builder
	for i := range c.Members {
		fmt.Fprintf(&b, "server.%d=%s\n", c.Members[i].ID, c.Members[i].spec())
	}
	for _, g := range c.Groups {
		ids := make([]string, len(g.Members))
		for i, id := range g.Members {
			ids[i] = strconv.FormatInt(id, 10)
		}
		fmt.Fprintf(&b, "group.%d=%s\n", g.ID, strings.Join(ids, ":"))
	}
	if len(c.Groups) > 0 {
		for i := range c.Members {
			fmt.Fprintf(&b, "weight.%d=%d\n", c.Members[i].ID, c.Weight(c.Members[i].ID))
		}
	}
	fmt.Fprintf(&b, "version=%x", c.Version)
	return b.String()
}

func (m *Member) spec() string {
	role := "participant"
	if m.Observer {
		role = "observer"
	}
	parts := make([]string, len(m.Addresses))
	for i, a := range m.Addresses {
		parts[i] = fmt.Sprintf("%s:%d:%s", JoinHostPort(a.Host, strconv.Itoa(a.Quorum)), a.Election, role)
	}
	s := strings.Join(parts, "|")
	if m.Client != "" {
		s += ";" + m.Client
	}
	return s
}

// ParseText reads what String wrote, or an Apache server.
func ParseText(text string) (*Config, error) {
	var settings []Setting
	var version int64
	for line := range strings.SplitSeq(text, "\n") {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case key == "":
		case !ok:
			return nil, &Error{"", fmt.Errorf("%w: %q is no setting", ErrSyntax, line)}
		case key == "version":
			v, err := strconv.ParseUint(value, 16, 64)
			if err != nil {
				return nil, &Error{key, fmt.Errorf("%w: %q is no hexadecimal number", ErrSyntax, value)}
			}
			version = int64(v)
		default:
			settings = append(settings, Setting{key, value})
		}
	}
	c, err := Parse(settings)
	if err != nil {
		return nil, err
	}
	c.Version = version
	return c, nil
}
