package cnxn

import (
	"fmt"
	"net/netip"
)

// javaAddr is an address as Java prints one: /ip:port, IPv6 without abbreviation.
func javaAddr(a netip.AddrPort) string {
	return fmt.Sprintf("/%s:%d", JavaIP(a.Addr()), a.Port())
}

// JavaIP is an address as Java prints one: eight groups for IPv6, without leading zeros
// and without "::".
func JavaIP(ip netip.Addr) string {
	ip = ip.Unmap()
	if !ip.Is6() {
		return ip.String()
	}
	b := ip.As16()
	s := fmt.Sprintf("%x:%x:%x:%x:%x:%x:%x:%x",
		int(b[0])<<8|int(b[1]), int(b[2])<<8|int(b[3]), int(b[4])<<8|int(b[5]), int(b[6])<<8|int(b[7]),
		int(b[8])<<8|int(b[9]), int(b[10])<<8|int(b[11]), int(b[12])<<8|int(b[13]), int(b[14])<<8|int(b[15]))
	if z := ip.Zone(); z != "" {
		s += "%" + z
	}
	return s
}
