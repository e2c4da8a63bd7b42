package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/zkd-project/zkd/daemon/config"
)

// lookupLimit is how long init waits for names.
const lookupLimit = 3 * time.Second

// misled says what is wrong with where this server's own names lead to on this machine; doctor
// looks at more.
func misled(cfg *config.Config) []string {
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	var notes []string
	for _, a := range cfg.Ensemble.Member(cfg.ServerID).Addresses {
		ips, err := net.DefaultResolver.LookupHost(ctx, a.Host)
		if err != nil {
			const fix = "put it into DNS, or into /etc/hosts on all machines"
			notes = append(notes, fmt.Sprintf("%s: %v; %s", a.Host, err, fix))
			continue
		}
		own := ownAddress(ips)
		switch {
		case own == "":
			notes = append(notes, fmt.Sprintf("%s is no address of this machine; correct --server, or --id", a.Host))
		case net.ParseIP(own).IsLoopback() && !(&doctor{cfg: cfg}).oneMachine():
			notes = append(notes, fmt.Sprintf("%s is %s here, where the other servers cannot reach it; %s",
				a.Host, own, loopbackFix(a.Host, fmt.Sprintf("server.%d", cfg.ServerID))))
		}
	}
	return notes
}

// ownAddress is the first address that this machine has, or nothing.
func ownAddress(ips []string) string {
	for _, ip := range ips {
		if l, err := net.Listen("tcp", net.JoinHostPort(ip, "0")); err == nil {
			l.Close()
			return ip
		}
	}
	return ""
}

// loopbackFix tells how others come to reach a server that is at a loopback address here.
func loopbackFix(host, line string) string {
	if net.ParseIP(host) != nil {
		return "write this machine's address on the network into " + line + ", on all servers"
	}
	return "take it off the line of 127.0.1.1 in /etc/hosts, or set quorumListenOnAllIPs=true"
}
