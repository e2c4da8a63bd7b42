package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

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
	Epoch       string `json:"epoch,omitempty"`
	Lag         string `json:"lag_txns,omitempty"`
	Sessions    string `json:"sessions,omitempty"`
	Disk        string `json:"disk_bytes,omitempty"`
	Version     string `json:"version"`
	Error       string `json:"error,omitempty"`
}

// statusCommand asks each server; one that does not answer makes the command fail.
func (g *globals) statusCommand() *cobra.Command {
	var watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use: "status", Args: cobra.NoArgs,
		Short: "Ask servers, zkd's and Apache's, how they are",
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "ask again and again, until interrupted")
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "pause between two times, with --watch")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		stop, done := g.interrupted()
		defer done()
		for watch {
			all := g.askAll()
			var b bytes.Buffer
			if isTerminal(cmd.OutOrStdout()) {
				b.WriteString("\x1b[H\x1b[2J")
			}
			if !g.json {
				fmt.Fprintln(&b, time.Now().Format(time.TimeOnly))
			}
			err := g.printStatus(&b, all)
			if bad := unwell(all); bad != nil && !g.json {
				fmt.Fprintln(&b, bad)
			}
			if _, bad := cmd.OutOrStdout().Write(b.Bytes()); err != nil || bad != nil {
				return errors.Join(err, bad)
			}
			select {
			case <-stop:
				return nil
			case <-time.After(every):
			}
		}
		all := g.askAll()
		if err := g.printStatus(cmd.OutOrStdout(), all); err != nil {
			return err
		}
		return unwell(all)
	}
	return cmd
}

// isTerminal says whether what is written there is seen at once.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// answer is what one of several servers says.
type answer struct {
	at int // its place in the list
	serverStatus
}

// askEach asks the servers at the same time; their answers come as they are there.
func (g *globals) askEach(timeout time.Duration) (answers <-chan answer, n int) {
	servers := strings.Split(g.servers, ",")
	all := make(chan answer, len(servers)) // who stops listening leaves nobody waiting
	for i, addr := range servers {
		go func() { all <- answer{i, ask(strings.TrimSpace(addr), timeout)} }()
	}
	return all, len(servers)
}

// askAll asks the servers, and has their answers in the order of the list.
func (g *globals) askAll() []serverStatus {
	answers, n := g.askEach(g.timeout)
	all := make([]serverStatus, n)
	for range n {
		a := <-answers
		all[a.at] = a.serverStatus
	}
	lags(all)
	return all
}

// unwell names the servers that do not serve.
func unwell(all []serverStatus) error {
	var looking, silent, texts []string
	for i := range all {
		switch s := &all[i]; {
		case s.Error == "":
		case s.Mode == modeLooking || strings.Contains(s.Error, "not currently serving"): // the latter are Apache's
			looking = append(looking, s.Server)
		default:
			silent = append(silent, s.Server)
		}
	}
	if len(looking) > 0 {
		texts = append(texts, "looking for a leader: "+strings.Join(looking, ", "))
	}
	if len(silent) > 0 {
		texts = append(texts, "no answer, or the word srvr is not allowed: "+strings.Join(silent, ", "))
	}
	if len(texts) > 0 {
		return errors.New(strings.Join(texts, "; "))
	}
	return nil
}

const modeLooking = "looking"

// lags works out how far servers are behind the foremost of their epoch. Where nothing has been written in
// that yet, its start may be all that a leader of Apache's shows, while who follows shows what was there before.
func lags(all []serverStatus) {
	most, before := uint64(0), uint64(0)
	for i := range all {
		most = max(most, all[i].zxid())
	}
	start := most&(1<<32-1) == 0
	for i := range all {
		if n := all[i].zxid(); n < most {
			before = max(before, n)
		}
	}
	for i := range all {
		s := &all[i]
		n := s.zxid()
		switch {
		case s.Error != "" || s.Mode == "standalone":
			continue
		case n>>32 == most>>32:
			s.Lag = strconv.FormatUint(most-n, 10)
		case start && s.Mode != modeLooking && n == before:
			s.Lag = "0"
		default:
			s.Lag = "an older epoch"
		}
		if s.Epoch == "" {
			s.Epoch = strconv.FormatUint(n>>32, 10)
		}
	}
}

// zxid is the server's as a number, 0 if it has not said any.
func (s *serverStatus) zxid() uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(s.Zxid, "0x"), 16, 64)
	if err != nil {
		return 0
	}
	return n
}

func (g *globals) ask(addr string) serverStatus { return ask(addr, g.timeout) }

func ask(addr string, timeout time.Duration) serverStatus {
	s := serverStatus{Server: addr}
	text, err := client.Word(addr, "srvr", timeout)
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
	switch s.Mode {
	case "": // one of Apache's without a quorum
		s.Error = strings.TrimSpace(text)
		return s
	case modeLooking:
		s.Error = "it looks for a leader: too few servers of its ensemble can be reached, or it has just started"
	}
	// What follows is told only by servers that allow these words.
	if text, err = client.Word(addr, "mntr", timeout); err == nil {
		for line := range strings.Lines(text) {
			switch name, value, _ := strings.Cut(strings.TrimSpace(line), "\t"); name {
			case "zk_global_sessions":
				s.Sessions = value
			case "zk_epoch": // zkd's; a new epoch shows in the zxid only with its first transaction
				s.Epoch = value
			}
		}
	}
	if text, err = client.Word(addr, "conf", timeout); err == nil {
		total := int64(0)
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			n, err := strconv.ParseInt(value, 10, 64)
			if err == nil && (name == "dataDirSize" || name == "dataLogSize") {
				total += n
				s.Disk = strconv.FormatInt(total, 10)
			}
		}
	}
	return s
}

func (g *globals) printStatus(to io.Writer, all []serverStatus) error {
	if g.json {
		return json.NewEncoder(to).Encode(all)
	}
	out := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "SERVER\tMODE\tEPOCH\tZXID\tLAG\tSESSIONS\tCONNECTIONS\tZNODES\tLATENCY\tDISK\tVERSION\tERROR")
	for _, s := range all {
		fmt.Fprintln(out, strings.Join([]string{
			s.Server, s.Mode, s.Epoch, s.Zxid, s.Lag, s.Sessions, s.Connections, s.Znodes, s.Latency, size(s.Disk),
			s.Version, s.Error,
		}, "\t"))
	}
	return out.Flush()
}

// size prints a number of bytes.
func size(bytes string) string {
	n, err := strconv.ParseFloat(bytes, 64)
	if err != nil {
		return ""
	}
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < 1000 {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.3g TB", n)
}
