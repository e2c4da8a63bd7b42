package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/client"
)

// serverStatus is what the word srvr tells of a server.
type serverStatus struct {
	Server      string `json:"server"`
	Mode        string `json:"mode"`
	Zxid        string `json:"zxid"`
	Connections string `json:"connections"`
	Znodes      string `json:"znodes"`
	Latency     string `json:"latency_min_avg_max_ms"`
	Version     string `json:"version"`
	Error       string `json:"error,omitempty"`
}

// statusCommand asks each server; one that does not answer makes the command fail.
func (g *globals) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Ask servers, zkd's and Apache's, how they are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []serverStatus
			failed := 0
			for addr := range strings.SplitSeq(g.servers, ",") {
				s := g.ask(strings.TrimSpace(addr))
				if s.Error != "" {
					failed++
				}
				all = append(all, s)
			}
			if err := g.printStatus(cmd, all); err != nil {
				return err
			}
			if failed > 0 {
				return errors.New("a server does not answer, or does not allow the word srvr")
			}
			return nil
		},
	}
}

func (g *globals) ask(addr string) serverStatus {
	s := serverStatus{Server: addr}
	text, err := client.Word(addr, "srvr", g.timeout)
	if err != nil {
		s.Error = err.Error()
		return s
	}
	fields := map[string]*string{
		"Zookeeper version": &s.Version, "Mode": &s.Mode, "Zxid": &s.Zxid, "Connections": &s.Connections,
		"Node count": &s.Znodes, "Latency min/avg/max": &s.Latency,
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if f := fields[name]; f != nil {
			*f, _, _ = strings.Cut(value, ", built on")
		}
	}
	if s.Mode == "" {
		s.Error = strings.TrimSpace(text)
	}
	return s
}

func (g *globals) printStatus(cmd *cobra.Command, all []serverStatus) error {
	if g.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
	}
	out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "SERVER\tMODE\tZXID\tCONNECTIONS\tZNODES\tLATENCY\tVERSION\tERROR")
	for _, s := range all {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			s.Server, s.Mode, s.Zxid, s.Connections, s.Znodes, s.Latency, s.Version, s.Error)
	}
	return out.Flush()
}
