package main

import (
	"fmt"
	"slices"
	"text/tabwriter"
)

// builtinHelp says what the commands do that only a shell has.
var builtinHelp = map[string][2]string{ // usage, text
	"quit":         {"quit", "End the shell, and its session; also exit, or Ctrl-D"},
	"exit":         {"exit", "End the shell, and its session"},
	"redo":         {"redo NUMBER", "Run a command again, by its number in history"},
	"close":        {"close", "End the session; connect opens another one"},
	"connect":      {"connect [SERVERS]", "Open a new session, also with other servers, host:port with commas between"},
	"addauth":      {"addauth SCHEME AUTH", "Prove an identity, for example addauth digest user:password"},
	"history":      {"history", "List the last commands"},
	"printwatches": {"printwatches [on|off]", "Say whether what watches tell is printed, or change it"},
	"help":         {"help [COMMAND]", "List the commands, or describe one; also ?"},
}

// help lists the commands of a shell, or describes one.
func (s *shell) help(topic []string) error {
	root := s.root()
	if len(topic) > 0 {
		if own, ok := builtinHelp[topic[0]]; ok {
			fmt.Fprintf(s.out, "%s\n\nUsage:\n  %s\n", own[1], own[0])
			return nil
		}
		c, _, err := root.Find(topic)
		if err != nil || c == root {
			return &unknownError{topic[0]}
		}
		c.InitDefaultHelpFlag()
		return c.Help()
	}
	lines := make(map[string]string)
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			lines[c.Name()] = c.Short
		}
	}
	for name, own := range builtinHelp {
		lines[name] = own[1]
	}
	names := make([]string, 0, len(lines))
	for name := range lines {
		names = append(names, name)
	}
	slices.Sort(names)
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, name := range names {
		fmt.Fprintf(t, "%s\t%s\n", name, lines[name])
	}
	fmt.Fprintln(t, "\nhelp COMMAND tells more.")
	return t.Flush()
}
