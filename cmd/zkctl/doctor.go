package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/config"
)

// finding is one thing that doctor looked at.
type finding struct {
	Level string `json:"level"` // "ok", "warning" or "error"
	Topic string `json:"topic"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"`
}

// doctor collects findings.
type doctor struct {
	g    *globals
	cfg  *config.Config
	list []finding
}

func (d *doctor) ok(topic, format string, args ...any) {
	d.list = append(d.list, finding{"ok", topic, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) warn(topic, fix, format string, args ...any) {
	d.list = append(d.list, finding{"warning", topic, fmt.Sprintf(format, args...), fix})
}

func (d *doctor) wrong(topic, fix, format string, args ...any) {
	d.list = append(d.list, finding{"error", topic, fmt.Sprintf(format, args...), fix})
}

func (g *globals) doctorCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "doctor", Args: cobra.NoArgs,
		Short: "Look for what is wrong with this machine's server and the way to the others",
		Long: "doctor reads the configuration, looks at names, ports, firewall, disks and limits of this machine,\n" +
			"and asks the servers of the ensemble. It leaves nothing behind; for a moment there is a file of\n" +
			"8 MB in each data directory, and an ephemeral znode /zkctl-doctor-N.\n" +
			"It fails if it finds an error, not for a warning.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{g: g}
			d.examine(file)
			return d.report(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", defaultConfig, "the server's configuration")
	return cmd
}

func (d *doctor) examine(file string) {
	var err error
	if d.cfg, err = config.LoadBeside(file); err != nil {
		d.unreadable(err)
		return
	}
	d.ok("configuration", "%s can be read", file)
	for _, w := range d.cfg.Warnings {
		d.warn("configuration", "zkctl config explain KEY tells what a setting does; remove what is of no use", "%s", w)
	}
	dirs := []string{d.cfg.DataDir, d.cfg.DataLogDir}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		d.disk(dir)
	}
	d.sandbox(file, runTool)
	d.files()
	d.firewall(runTool)
	d.requests()
	own := net.JoinHostPort(localAddress(d.cfg.ClientPortAddress), strconv.Itoa(d.cfg.ClientPort))
	version := d.own(own)
	if version != "" {
		d.clock(own)
		d.numbers(own)
	}
	if d.cfg.Ensemble != nil {
		d.ensemble(version)
	}
}

// unreadable tells why there is no configuration to go on with.
func (d *doctor) unreadable(err error) {
	topic, fix := "configuration", "mend the line that is named; zkd check-config looks again"
	switch {
	case errors.Is(err, os.ErrPermission):
		fix = "run zkctl doctor as root"
	case strings.Contains(err.Error(), "/myid"):
		topic, fix = "myid", "give this machine's number to zkctl init --id, or correct the file"
	}
	d.wrong(topic, fix, "%v", err)
}

// localAddress is an address at which a server that listens on listen can be asked here.
func localAddress(listen string) string {
	if ip := net.ParseIP(listen); listen == "" || ip != nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return listen
}

func (d *doctor) report(out io.Writer) error {
	bad := 0
	for _, f := range d.list {
		if f.Level == "error" {
			bad++
		}
	}
	if d.g.json {
		if err := json.NewEncoder(out).Encode(d.list); err != nil {
			return err
		}
	} else {
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, f := range d.list {
			fmt.Fprintf(t, "%s\t%s\t%s\n", f.Level, f.Topic, f.Text)
			if f.Fix != "" {
				fmt.Fprintf(t, "\t\t→ %s\n", f.Fix)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if bad > 0 {
		return errors.New(counted(bad, "error"))
	}
	return nil
}

// counted is a number of things.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
