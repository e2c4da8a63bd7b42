package ensemble_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

const three = `server.1=127.0.0.1:22021:22041:participant
server.2=127.0.0.1:22022:22042:participant
server.3=127.0.0.1:22023:22043:participant
version=0`

func parse(t *testing.T, text string) *ensemble.Config {
	t.Helper()
	c, err := ensemble.ParseText(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestText(t *testing.T) {
	for _, text := range []string{
		three,
		"server.1=a:1:2:participant;0.0.0.0:2181\nserver.4=[::1]:1:2:observer;[::]:2184\nversion=100000005",
		"server.1=a:1:2:participant|b:1:2:participant\nversion=0",
		"server.1=a:1:2:participant\nserver.2=b:1:2:participant\ngroup.1=1:2\nweight.1=1\nweight.2=0\nversion=0",
	} {
		if got := parse(t, text).String(); got != text {
			t.Errorf("read %q\nwrote %q", text, got)
		}
	}
	c := parse(t, "server.7=h:1:2\nserver.1=g:1:2:OBSERVER;2181")
	if got, want := c.String(), "server.1=g:1:2:observer;0.0.0.0:2181\nserver.7=h:1:2:participant\nversion=0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"server.1=a:1":                                      "server.1: wrong syntax",
		"server.x=a:1:2":                                    `"x" is no number`,
		"server.0=a:1:2":                                    "from 1 to 255",
		"server.256=a:1:2":                                  "from 1 to 255",
		"server.1=a:1:1":                                    "both 1",
		"server.1=a:1:70000":                                "election port",
		"server.1=a:1:2:leader":                             `"leader" is no role`,
		"server.1=[::1:1:2":                                 "closing bracket",
		"server.1=a:1:2\nserver.1=b:1:2":                    "listed twice, at a and at b; give each server an id of its own",
		"server.1=a:1:2\nserver.2=A:3:2":                    "servers 1 and 2 both have the address a:2; correct one",
		"server.1=a:1:2|A:1:3":                              "server 1 has the address a:1 twice; leave one",
		"server.1=a:1:2\nweight.1=2":                        "weight.1: wrong list of servers: a server weighs something only within",
		"server.1=a:1:2\ngroup.1=1\nweight.1=0":             "no group weighs anything",
		"server.1=a:1:2:observer":                           "somebody has to vote",
		"server.1=a:1:2\ngroup.1=1:2":                       "there is no server 2",
		"server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1":         "server.2: wrong list of servers: the server votes",
		"server.1=a:1:2\ngroup.1=1\ngroup.2=1":              "in group 1 already",
		"server.1=a:1:2\nweight.1=-1":                       "no weight",
		"server.1=a:1:2;x":                                  "client port",
		"server.1=a:1:2:participant|b:1:2:observer":         "different roles",
		"server.1=a:1:2\nversion=xyz":                       "hexadecimal",
		"server.1=a b:1:2":                                  `"a b" is no host`,
		"server.1=[a;b]:1:2":                                "closing bracket",
		"server.1=a:1:2;[ b:3":                              `" b" is no host`,
		"server.1=a:1:2;b]:3":                               `"b]" is no host`,
		"server.1=a:1:2\nnothing":                           "no setting",
		"server.1=a:1:2\ndynamicConfigFile=/etc/zkd/x":      "wrong syntax",
		"server.1=a:1:2\nweight.9=1":                        "weight.9",
		"server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2:three": `"three" is no server id`,
	} {
		_, err := ensemble.ParseText(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
		var e *ensemble.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %T is no *Error", text, err)
		}
	}
}

// naive counts a quorum the long way.
func naive(c *ensemble.Config, in map[int64]bool) bool {
	if len(c.Groups) == 0 {
		yes, all := 0, 0
		for _, m := range c.Members {
			if !m.Observer {
				all++
				if in[m.ID] {
					yes++
				}
			}
		}
		return 2*yes > all
	}
	won, counted := 0, 0
	for _, g := range c.Groups {
		var yes, all int64
		for _, id := range g.Members {
			all += c.Weight(id)
			if in[id] {
				yes += c.Weight(id)
			}
		}
		if all > 0 {
			counted++
			if 2*yes > all {
				won++
			}
		}
	}
	return 2*won > counted
}

func TestQuorum(t *testing.T) {
	for _, text := range []string{
		three,
		"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2",
		"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\nserver.4=d:1:2:observer",
		"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2\nserver.5=e:1:2\n" +
			"group.1=1:2:3\ngroup.2=4:5\nweight.5=0",
	} {
		c := parse(t, text)
		for set := range 1 << len(c.Members) {
			in := make(map[int64]bool)
			for i, m := range c.Members {
				in[m.ID] = set>>i&1 == 1
			}
			got := c.HasQuorum(func(id int64) bool { return in[id] })
			if want := naive(c, in); got != want {
				t.Errorf("%s\n%v: quorum %v, want %v", text, in, got, want)
			}
			other := c.HasQuorum(func(id int64) bool { return !in[id] })
			if got && other {
				t.Errorf("%s\n%v and the others are both a quorum", text, in)
			}
		}
	}
}

// TestHierarchy holds what was seen of Apache's servers: 1, 2, 3, alone or with 5 (which
// weighs nothing), are no quorum, with 4 they are.
func TestHierarchy(t *testing.T) {
	c := parse(t, "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2\nserver.5=e:1:2\n"+
		"group.1=1:2:3\ngroup.2=4:5\nweight.5=0")
	for ids, want := range map[string]bool{"123": false, "1235": false, "124": true, "134": true, "14": false} {
		got := c.HasQuorum(func(id int64) bool { return strings.ContainsRune(ids, rune('0'+id)) })
		if got != want {
			t.Errorf("%s: quorum %v, want %v", ids, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(three)
	f.Add("server.1=[::1]:1:2:observer;[::]:2184\ngroup.1=1\nweight.1=3")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ensemble.ParseText(text)
		if err != nil {
			return
		}
		again, err := ensemble.ParseText(c.String())
		if err != nil {
			t.Fatalf("%q: %v", c.String(), err)
		}
		if again.String() != c.String() {
			t.Fatalf("%q became %q", c.String(), again.String())
		}
	})
}
