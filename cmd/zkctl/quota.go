package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/client"
	"github.com/zkd-project/zkd/daemon/proto"
)

// The znodes of quotas. Source: Quotas.java.
const (
	quotaRoot  = "/zookeeper/quota"
	limitsNode = "/zookeeper_limits"
	statsNode  = "/zookeeper_stats"
)

// track is what a quota's znodes hold; -1 is no limit. Source: StatsTrack.java.
type track struct{ count, bytes, hardCount, hardBytes int64 }

func noLimits() track { return track{-1, -1, -1, -1} }

// fields are the names under which the values are stored.
func (t *track) fields() map[string]*int64 {
	return map[string]*int64{
		"count": &t.count, "bytes": &t.bytes, "countHardLimit": &t.hardCount, "byteHardLimit": &t.hardBytes,
	}
}

func parseTrack(text string) track {
	t := noLimits()
	fields := t.fields()
	for _, pair := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' }) {
		name, value, _ := strings.Cut(strings.TrimRight(pair, "="), "=")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && fields[name] != nil {
			*fields[name] = n
		}
	}
	return t
}

// String is Apache's text, which has an odd "=;" in it where there is a hard limit.
func (t track) String() string {
	text := fmt.Sprintf("count=%d,bytes=%d", t.count, t.bytes)
	if t.hardCount > -1 || t.hardBytes > -1 {
		text += fmt.Sprintf("=;byteHardLimit=%d;countHardLimit=%d", t.hardBytes, t.hardCount)
	}
	return text
}

// limitFlags are the flags of a command that names limits.
type limitFlags struct{ count, bytes, hardCount, hardBytes int64 }

func (g *globals) quotas() []*cobra.Command {
	list := g.onPath("listquota", "Print the quota of a subtree, and what it holds",
		func(cmd *cobra.Command, c *client.Client, path string) error { return listQuota(cmd, c, path) })
	var l limitFlags
	set := g.onPath("setquota", "Limit what a subtree may hold",
		func(cmd *cobra.Command, c *client.Client, path string) error {
			return setQuota(c, path, func(t *track) error { return l.apply(cmd, t) })
		})
	f := set.Flags()
	f.Int64VarP(&l.count, "count", "n", 0, "znodes; more are reported")
	f.Int64VarP(&l.bytes, "bytes", "b", 0, "bytes of data; more are reported")
	f.Int64VarP(&l.hardCount, "hard-count", "N", 0, "znodes; more are refused where enforceQuota is on")
	f.Int64VarP(&l.hardBytes, "hard-bytes", "B", 0, "bytes of data; more are refused where enforceQuota is on")
	var no [4]bool
	del := g.onPath("delquota", "Take away limits of a subtree, all of them without a flag",
		func(_ *cobra.Command, c *client.Client, path string) error { return deleteQuota(c, path, no) })
	for i, k := range []struct{ long, short string }{
		{"count", "n"}, {"bytes", "b"}, {"hard-count", "N"}, {"hard-bytes", "B"},
	} {
		del.Flags().BoolVarP(&no[i], k.long, k.short, false, "this limit only")
	}
	return []*cobra.Command{list, set, del}
}

func (l *limitFlags) apply(cmd *cobra.Command, t *track) error {
	set := 0
	for _, k := range []struct {
		flag  string
		value int64
		least int64
		field *int64
	}{
		{"count", l.count, 1, &t.count}, {"bytes", l.bytes, 0, &t.bytes},
		{"hard-count", l.hardCount, 1, &t.hardCount}, {"hard-bytes", l.hardBytes, 0, &t.hardBytes},
	} {
		if !cmd.Flags().Changed(k.flag) {
			continue
		}
		if k.value < k.least {
			return fmt.Errorf("--%s %d: give at least %d", k.flag, k.value, k.least)
		}
		*k.field = k.value
		set++
	}
	if set == 0 {
		return errors.New("give a limit: -n, -b, -N or -B and a number")
	}
	return nil
}

func listQuota(cmd *cobra.Command, c *client.Client, path string) error {
	out, base := cmd.OutOrStdout(), quotaRoot+strings.TrimSuffix(path, "/")
	fmt.Fprintf(cmd.ErrOrStderr(), "absolute path is %s%s\n", base, limitsNode)
	limits, _, err := c.Get(base + limitsNode)
	if errors.Is(err, proto.ErrNoNode) {
		return fmt.Errorf("quota for %s does not exist.", path) //nolint:staticcheck // zkCli's text
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Output quota for %s %s\n", path, parseTrack(string(limits)))
	stats, _, err := c.Get(base + statsNode)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Output stat for %s %s\n", path, parseTrack(string(stats)))
	return nil
}

// setQuota changes limits, after it has made the znodes that hold them. Source:
// SetQuotaCommand.java, createQuota.
func setQuota(c *client.Client, path string, change func(*track) error) error {
	if path == quotaRoot || strings.HasPrefix(path, quotaRoot+"/") {
		return errors.New("a quota cannot have a quota")
	}
	if _, err := c.Stat(path); errors.Is(err, proto.ErrNoNode) {
		return fmt.Errorf("%s does not exist.", path) //nolint:staticcheck // zkCli's text
	} else if err != nil {
		return err
	}
	base := quotaRoot
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name != "" {
			base += "/" + name
		}
		if name == "" || base == quotaRoot {
			continue
		}
		if _, err := c.Create(base, nil, client.CreateOptions{}); err != nil && !errors.Is(err, proto.ErrNodeExists) {
			return err
		}
	}
	t := noLimits()
	old, _, err := c.Get(base + limitsNode)
	switch {
	case err == nil:
		t = parseTrack(string(old))
	case !errors.Is(err, proto.ErrNoNode):
		return err
	}
	if err := change(&t); err != nil {
		return err
	}
	if err == nil {
		_, err = c.Set(base+limitsNode, []byte(t.String()), -1)
		return err
	}
	if _, err := c.Create(base+limitsNode, []byte(t.String()), client.CreateOptions{}); err != nil {
		return err
	}
	_, err = c.Create(base+statsNode, []byte(track{0, 0, -1, -1}.String()), client.CreateOptions{})
	return err
}

func deleteQuota(c *client.Client, path string, which [4]bool) error {
	base := quotaRoot + strings.TrimSuffix(path, "/")
	if which != [4]bool{} {
		return setQuota(c, path, func(t *track) error {
			for i, f := range []*int64{&t.count, &t.bytes, &t.hardCount, &t.hardBytes} {
				if which[i] {
					*f = -1
				}
			}
			return nil
		})
	}
	if err := c.Delete(base+limitsNode, -1); err != nil {
		return fmt.Errorf("quota for %s does not exist.", path) //nolint:staticcheck // zkCli's text
	}
	if err := c.Delete(base+statsNode, -1); err != nil && !errors.Is(err, proto.ErrNoNode) {
		return err
	}
	for base != quotaRoot { // what is left empty
		if err := c.Delete(base, -1); err != nil {
			break // something else is there
		}
		base = base[:strings.LastIndexByte(base, '/')]
	}
	return nil
}
