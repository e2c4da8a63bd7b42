//go:build interop

package interop

import (
	"fmt"
	"testing"
	"time"
)

// newTwoNetworks makes an ensemble of machines that are in two networks; clients are in the
// first one.
func newTwoNetworks(t *testing.T, kinds ...string) *cluster {
	c := &cluster{t: t, tick: 500, lan: newLAN(t, len(kinds))}
	for i := range kinds {
		c.lan.run("ip", "-n", c.lan.names[i], "address", "add", second(i)+"/24", "dev", "eth0")
	}
	c.shape.addresses = func(i int) []string { return []string{c.lan.host(i), second(i)} }
	c.shape.more = severalAddresses
	c.found(kinds)
	return c
}

// severalAddresses has servers of Apache's allow them; zkd needs no leave.
const severalAddresses = "multiAddress.enabled=true\n"

// second is the address of a machine in the second network.
func second(i int) string { return fmt.Sprintf("10.213.78.%d", i+1) }

// oneNetworkDies has the servers lose one network after the other, under writes, and start
// anew without one.
func (c *cluster) oneNetworkDies() {
	c.start()
	writers := c.write(4)
	for _, host := range []func(int) string{second, c.lan.host} {
		time.Sleep(500 * time.Millisecond)
		for to := range c.servers {
			for from := range c.servers {
				if to != from {
					c.lan.nft(to, fmt.Sprintf("add rule inet zkd in ip saddr %s drop\n", host(from)))
				}
			}
		}
		began := time.Now()
		time.Sleep(4 * time.Second) // more than a silent leader is believed
		for _, w := range writers {
			w.progress(began.Add(4 * time.Second))
		}
		c.t.Logf("without %s: all write, %v after the cut", host(0), time.Since(began).Round(time.Millisecond))
		c.awaitAll()
		victim := c.leader()
		began = time.Now()
		c.servers[victim].kill()
		for _, w := range writers {
			w.progress(began)
		}
		c.servers[victim].launch()
		c.awaitAll()
		c.lan.heal()
	}
	c.finish(writers)
	c.agree()
}

// TestEnsembleNetworkOfTwo has servers with two addresses each.
func TestEnsembleNetworkOfTwo(t *testing.T) {
	newTwoNetworks(t, "zkd", "zkd", "zkd").oneNetworkDies()
}

// TestMixedNetworkOfTwo has one of Apache's among them, whose first message is of the
// version for several addresses, as zkd's is.
func TestMixedNetworkOfTwo(t *testing.T) {
	c := newTwoNetworks(t, "zkd", "zkd", "java")
	c.start()
	writers := c.write(3)
	victim := c.leader()
	began := time.Now()
	c.servers[victim].kill()
	for _, w := range writers {
		w.progress(began)
	}
	c.servers[victim].launch()
	c.awaitAll()
	c.finish(writers)
	c.agree()
}
