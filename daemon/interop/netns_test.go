//go:build interop

package interop

import (
	"net"
	"strings"
	"time"
)

// connect dials an address, which is in another network namespace if it is "name@host:port".
func connect(addr string, timeout time.Duration) (net.Conn, error) {
	name, addr, inside := strings.Cut(addr, "@")
	if !inside {
		return net.DialTimeout("tcp", name, timeout)
	}
	return connectIn(name, addr, timeout)
}

func connectIn(name, addr string, timeout time.Duration) (net.Conn, error) { panic("") }
