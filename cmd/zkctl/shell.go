package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/peterh/liner"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zkd-project/zkd/daemon/client"
	"github.com/zkd-project/zkd/daemon/proto"
)

// shell reads commands and runs them in one session.
type shell struct {
	g   *globals
	out io.Writer

	mu     sync.Mutex // held while the client is used
	c      *client.Client
	typed  bool     // somebody types, and has Ctrl-C
	closed bool     // until connect
	quiet  bool     // what watches tell is not printed
	past   []string // commands, oldest first
	stop   chan struct{}
}

// writer is the shell's output, for commands and for what watches tell at the same time.
type writer struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *writer) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

var (
	errQuit = errors.New("quit")             // ends the shell
	errRedo = errors.New("No redoing redos") //nolint:staticcheck // zkCli's text
)

func (g *globals) shellCommand() *cobra.Command {
	return &cobra.Command{
		Use: "shell", Short: "Read commands, with one session for all of them; also zkctl without a command",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return g.runShell(cmd) },
	}
}

func (g *globals) runShell(cmd *cobra.Command) error {
	if g.shell != nil {
		return errors.New("this is the shell already")
	}
	s := &shell{g: g, out: &writer{w: cmd.OutOrStdout()}, stop: make(chan struct{})}
	g.shell = s
	defer func() { g.shell = nil }()
	defer s.close()
	in := cmd.InOrStdin()
	if st, err := os.Stdin.Stat(); in != os.Stdin || err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return s.script(bufio.NewScanner(in))
	}
	s.typed = true
	return s.interact()
}

// interrupted tells of Ctrl-C until done is called, for commands that go on until then. Where
// nobody types into a shell it tells nothing, and Ctrl-C ends zkctl as usual.
func (g *globals) interrupted() (c chan os.Signal, done func()) {
	if g.shell == nil || !g.shell.typed {
		return nil, func() {}
	}
	c = make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	return c, func() { signal.Stop(c) }
}

// script runs the lines of a file; the first failure is the result, but ends nothing, as
// in zkCli.
func (s *shell) script(in *bufio.Scanner) error {
	var first error
	for in.Scan() {
		err := s.line(in.Text())
		if errors.Is(err, errQuit) {
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, explain(err))
		}
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return fmt.Errorf("a command failed: %w", first)
	}
	return in.Err()
}

func (s *shell) interact() error {
	l := liner.NewLiner()
	defer func() { _ = l.Close() }() // the terminal is as it was, or cannot be helped
	l.SetCtrlCAborts(true)
	l.SetWordCompleter(s.complete)
	file := historyFile()
	if f, err := os.Open(file); err == nil {
		_, _ = l.ReadHistory(f) // what cannot be read is not missed
		f.Close()
	}
	defer func() {
		if f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err == nil {
			_, _ = l.WriteHistory(f)
			f.Close()
		}
	}()
	for {
		text, err := l.Prompt("zkctl " + s.g.servers + "> ")
		switch {
		case errors.Is(err, liner.ErrPromptAborted):
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(s.out)
			return nil
		case err != nil:
			return err
		}
		if toKeep(text) {
			l.AppendHistory(text)
		}
		if err := s.line(text); errors.Is(err, errQuit) {
			return nil
		} else if err != nil {
			fmt.Fprintln(os.Stderr, explain(err))
		}
	}
}

// toKeep says whether a line goes into the file of commands: not if there is a secret in it.
func toKeep(line string) bool {
	return strings.TrimSpace(line) != "" && !strings.Contains(line, "addauth") && !strings.Contains(line, "--auth")
}

// historyFile is where commands are kept; "" if there is no home.
func historyFile() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".zkctl_history")
}

// line runs one command.
func (s *shell) line(text string) error {
	args, err := split(text)
	if err != nil || len(args) == 0 || strings.HasPrefix(args[0], "#") {
		return err
	}
	if args[0] == "redo" {
		if text, args, err = s.again(args); err != nil {
			s.past = append(s.past, strings.Join(args, " "))
			return err
		}
	}
	s.past = append(s.past, text)
	if args[0] == "help" || args[0] == "?" {
		return s.help(args[1:])
	}
	if own, ok := builtins[args[0]]; ok {
		return own(s, args)
	}
	return s.run(args)
}

// builtins are the commands that only a shell has.
var builtins = map[string]func(*shell, []string) error{
	"quit":         func(*shell, []string) error { return errQuit },
	"exit":         func(*shell, []string) error { return errQuit },
	"redo":         func(*shell, []string) error { return errRedo },
	"close":        func(s *shell, _ []string) error { s.drop(true); return nil },
	"connect":      (*shell).connect,
	"addauth":      (*shell).authenticate,
	"history":      (*shell).history,
	"printwatches": (*shell).printWatches,
}

// connect opens a new session, also with other servers.
func (s *shell) connect(args []string) error {
	if len(args) > 1 {
		s.g.servers = args[1]
	}
	s.drop(false)
	return s.with(func(*client.Client) error { return nil })
}

func (s *shell) history([]string) error {
	const shown = 11
	for i := max(len(s.past)-shown, 0); i < len(s.past); i++ {
		fmt.Fprintf(s.out, "%d - %s\n", i, s.past[i])
	}
	return nil
}

// printWatches says whether what watches tell is printed, or changes it.
func (s *shell) printWatches(args []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(args) == 1 && s.quiet:
		fmt.Fprintln(s.out, "printwatches is off")
	case len(args) == 1:
		fmt.Fprintln(s.out, "printwatches is on")
	case args[1] == "on" || args[1] == "off":
		s.quiet = args[1] == "off"
	default:
		return fmt.Errorf("printwatches %s: give on or off", args[1])
	}
	return nil
}

// run runs a command of the command line.
func (s *shell) run(args []string) error {
	root := s.root()
	args = doubleDash(args)
	root.SetArgs(args)
	if c, _, err := root.Find(args); err != nil || c == root {
		return &unknownError{args[0]}
	}
	return root.Execute()
}

// root is the command line's command for one line. Flags of the shell itself stay in force.
func (s *shell) root() *cobra.Command {
	g := *s.g
	root := newRoot(&g)
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	g.servers, g.timeout, g.auth, g.json, g.output = s.g.servers, s.g.timeout, s.g.auth, s.g.json, s.g.output
	root.SetOut(s.out)
	return root
}

// again is an earlier command, or the words of redo itself if there is none.
func (s *shell) again(args []string) (text string, words []string, err error) {
	n := -1
	if len(args) == 2 {
		if n, err = strconv.Atoi(args[1]); err != nil {
			return "", args, fmt.Errorf("redo %s: give a number that history shows", args[1])
		}
	}
	if n < 0 || n >= len(s.past) {
		return "", args, errors.New("Command index out of range") //nolint:staticcheck // zkCli's text
	}
	words, err = split(s.past[n])
	return s.past[n], words, err
}

func (s *shell) authenticate(args []string) error {
	if len(args) != 3 {
		return errors.New("addauth: give a scheme and what proves it, for example addauth digest user:password")
	}
	if err := s.with(func(c *client.Client) error { return c.Auth(args[1], args[2]) }); err != nil {
		return err
	}
	s.g.auth = append(s.g.auth, args[1]+":"+args[2])
	return nil
}

// with runs f with the session, which is opened when it is first needed, and again after its
// connection was lost.
func (s *shell) with(f func(*client.Client) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("Not connected") //nolint:staticcheck // zkCli's text
	}
	if s.c == nil {
		c, err := client.Dial(s.g.servers, s.g.timeout)
		if err != nil {
			return err
		}
		if err := s.g.prove(c); err != nil {
			_ = c.Close() // it ends by itself, too
			return err
		}
		s.c = c
		c.OnEvent = func(e client.Event) {
			if !s.quiet {
				s.g.printEvent(s.out, e)
			}
		}
		go s.keep(c)
	}
	err := f(s.c)
	var code proto.ErrCode
	if err != nil && !errors.As(err, &code) && s.lost() {
		return fmt.Errorf("%w; the session is gone, with its ephemeral znodes and watches", err)
	}
	return err
}

// lost says whether the connection is of no more use, and forgets it then.
func (s *shell) lost() bool {
	if _, err := s.c.Do(proto.OpPing, nil); err == nil {
		return false
	}
	s.c = nil
	return true
}

// keep keeps a session alive while nobody types, and prints what watches tell.
func (s *shell) keep(c *client.Client) {
	const look = 100 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		gone := s.c != c
		if !gone && c.Await(time.Millisecond) != nil {
			gone, s.c = true, nil
			fmt.Fprintln(os.Stderr, "the connection is lost; the next command opens a new session")
		}
		s.mu.Unlock()
		if gone {
			return
		}
	}
}

// drop ends the session. With closed, the next one is opened only by connect.
func (s *shell) drop(closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed = closed; s.c != nil {
		_ = s.c.Close() // it ends by itself, too
		s.c = nil
	}
}

func (s *shell) close() {
	close(s.stop)
	s.drop(true)
}

// complete completes commands, and paths from the server.
func (s *shell) complete(text string, at int) (head string, found []string, tail string) {
	begin := strings.LastIndexByte(text[:at], ' ') + 1
	head, word, tail := text[:begin], text[begin:at], text[at:]
	if begin == 0 {
		names := append(slices.Collect(maps.Keys(builtins)), "help")
		for _, c := range newRoot(&globals{}).Commands() {
			names = append(names, c.Name())
		}
		slices.Sort(names)
		for _, n := range names {
			if strings.HasPrefix(n, word) {
				found = append(found, n+" ")
			}
		}
		return head, found, tail
	}
	if !strings.HasPrefix(word, "/") {
		return head, nil, tail
	}
	_ = s.with(func(c *client.Client) error { // without an answer there is nothing to offer
		found = pathsFor(c, word)
		return nil
	})
	return head, found, tail
}

// split cuts a line into words, which quotes hold together.
func split(text string) (words []string, err error) {
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, open = r, true
		case r == ' ' || r == '\t':
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}
