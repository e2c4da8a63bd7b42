package config

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

// Explain describes a setting; ok is false if there is none of that name, and text then
// tells the nearest one.
func Explain(name string) (text string, ok bool) {
	l := newLoader("")
	k := l.known[name]
	if help := explainNumbered(name); help != "" {
		return help, true
	}
	if k == nil {
		if near := l.nearest(name); near != "" {
			return fmt.Sprintf("%s is not a setting; did you mean %s?", name, near), false
		}
		return name + " is not a setting.", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  %s\n", k.Name, k.Help)
	if k.Class != Effective {
		return b.String(), true
	}
	fmt.Fprintf(&b, "  value:       %s", k.Kind)
	if k.Kind == Number {
		fmt.Fprintf(&b, " from %d to %d", k.Min, k.Max)
	}
	if k.Default != "" {
		fmt.Fprintf(&b, "\n  default:     %s", k.Default)
	}
	fmt.Fprintf(&b, "\n  environment: %s\n  on reload:   ", EnvName(k.Name))
	if k.Reload {
		b.WriteString("takes effect\n")
	} else {
		b.WriteString("needs a restart\n")
	}
	return b.String(), true
}

// Document is the text of docs/CONFIG.md.
func Document() string {
	var b strings.Builder
	b.WriteString("# Settings\n\nGenerated from the key table in `daemon/config`; `make docs` renews it.\n\n" +
		"`zoo.cfg` has the form and the keys of ZooKeeper's. `FILE.d/*.cfg` beside it is read after it, and\n" +
		"environment variables override both. A key may be written with `zookeeper.` in front.\n\n" +
		"The list of servers, in `zoo.cfg` or in a file that `dynamicConfigFile` names, is made of:\n\n" +
		"| key | environment | meaning |\n|---|---|---|\n")
	for _, n := range numberedKeys {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", n.name, EnvName(n.name), strings.ReplaceAll(n.help, "|", "\\|"))
	}
	b.WriteString("\n`version=` and a hexadecimal number beside them is the version of the list; else it is the\n" +
		"one at the end of the dynamic file's name, or 0.\n\n" +
		"## Settings that have an effect\n\n| key | value | default | reload | meaning |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		value, reload := string(k.Kind), ""
		if k.Kind == Number {
			value = fmt.Sprintf("%d to %d", k.Min, k.Max)
		}
		if k.Reload {
			reload = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, value, k.Default, reload, k.Help)
	}
	b.WriteString("\n## Settings that keep somebody out by what this version lacks\n\n" +
		"zkd does not start with them, for without TLS and SASL it would let everybody in. Values that demand\n" +
		"nothing have no effect.\n\n" +
		"| keys | values that are accepted | otherwise |\n|---|---|---|\n")
	for _, g := range guards {
		fmt.Fprintf(&b, "| %s | %s | %s of %s is demanded |\n", names(g.names), names(g.harmless), g.lacks, g.whom)
	}
	b.WriteString("\n`secureClientPort` without a `clientPort` is refused, too: nobody could connect.\n" +
		"\n## Settings without effect in this version\n\n| keys | about |\n|---|---|\n")
	for _, l := range later {
		fmt.Fprintf(&b, "| %s | %s |\n", names(l.names), l.help)
	}
	b.WriteString("\n## Settings that are accepted and have nothing to set\n\n| keys | because |\n|---|---|\n")
	for _, i := range ignored {
		fmt.Fprintf(&b, "| %s | %s |\n", names(i.names), i.reason)
	}
	return b.String()
}

func names(list string) string { return "`" + strings.Join(strings.Fields(list), "` `") + "`" }

// numberedKeys are the settings with a number or a name in them.
var numberedKeys = []struct{ name, help string }{
	{"server.N", "Server N of the ensemble: host:quorumPort:electionPort[:observer][;[clientAddress:]clientPort]; " +
		"several addresses with | between."},
	{"group.N", "Group N of a hierarchical quorum: ids of servers with colons between."},
	{"weight.N", "What server N weighs in its group."},
	{"authProvider.NAME", "A class of ZooKeeper's that authenticates: those of digest and ip are always there; " +
		"those of sasl, x509, ensemble and key are accepted with a warning, as nobody can authenticate with " +
		"them yet; others are refused."},
}

// explainNumbered describes a setting with a number or a name in it, and is empty for others.
func explainNumbered(name string) string {
	for _, n := range numberedKeys {
		kind, _, _ := strings.Cut(n.name, ".")
		if name == n.name || strings.HasPrefix(name, kind+".") && dynamic.MatchString(name) {
			return fmt.Sprintf("%s\n  %s\n  environment: %s\n", n.name, n.help, EnvName(n.name))
		}
	}
	return ""
}

// nearest is the known key that a misspelt one most likely stands for, or "".
func (l *loader) nearest(key string) string {
	names := slices.Collect(maps.Keys(l.known))
	for _, n := range numberedKeys {
		names = append(names, n.name)
	}
	return nearest(key, slices.Values(names))
}

// nearest is the name that a misspelt one most likely stands for, or "".
func nearest(key string, names iter.Seq[string]) string {
	const most = 3
	best, distance := "", most+1
	for name := range names {
		if strings.EqualFold(name, key) {
			return name
		}
		if strings.HasPrefix(name, "zookeeper.") {
			continue
		}
		if d := editDistance(key, name, most); d < distance || (d == distance && d <= most && name < best) {
			best, distance = name, d
		}
	}
	return best
}

// meant asks at the end of a warning whether a name was meant, if there is one.
func meant(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}

// editDistance counts the insertions, deletions and replacements that turn a into b; it
// gives up above most.
func editDistance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}

// Changed lists the effective settings that differ between two configurations; the list of
// servers counts as one, named server.N.
func Changed(before, after *Config) []Key {
	value := make(map[string]string)
	for _, s := range before.Settings {
		value[s.Key] = s.Value
	}
	var changed []Key
	rows := make(map[string]Key)
	for _, k := range keys {
		rows[k.Name] = k
	}
	for _, s := range after.Settings {
		if k, ok := rows[s.Key]; ok && value[s.Key] != s.Value {
			changed = append(changed, k)
		}
	}
	if before.servers() != after.servers() {
		live := before.Ensemble != nil && Readdressed(before.Ensemble, after)
		changed = append(changed, Key{Name: "server.N", Class: Effective, Reload: live})
	}
	if before.ServerID != after.ServerID {
		changed = append(changed, Key{Name: "myid", Class: Effective})
	}
	return changed
}

// Readdressed says whether a configuration differs from a list of servers in nothing but the
// addresses of others, which can change while a server runs.
func Readdressed(list *ensemble.Config, c *Config) bool {
	if c.Ensemble == nil || !list.SameServers(c.Ensemble) {
		return false
	}
	now, next := list.Member(c.ServerID), c.Ensemble.Member(c.ServerID)
	return now != nil && now.Client == next.Client && slices.Equal(now.Addresses, next.Addresses)
}

// servers is the list of servers as a text.
func (c *Config) servers() string {
	if c.Ensemble == nil {
		return ""
	}
	return c.Ensemble.String()
}
