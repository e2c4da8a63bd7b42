package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Times of the servers, in milliseconds. They are short, so that much goes wrong in few
// steps.
const (
	tickTime  = 100
	initLimit = 10
	syncLimit = 5
)

// quiet is how long an ensemble may take to recover when the faults have ended.
const quiet = 30_000_000

// shape is what a seed makes of its run.
type shape struct {
	voters, observers int
	masters           bool   // observers come to followers
	groups            string // a hierarchical quorum, if any
	local             bool   // sessions begin as local ones
	clients           int
	lazy              bool            // clients ask seldom
	renews            bool            // new processes take sessions over
	eager             bool            // clients that come back ask before they are answered
	epochSize         uint32          // zxids of an epoch; 0 is all there are
	foreign           bool            // a server brings history that is nobody else's
	drift             int64           // of clocks, in parts of a thousand
	faulty            int64           // how long there are faults, in microseconds
	pause             int64           // between faults, at most
	weights           [numFaults]int  // how often each fault comes
	clientTimeout     [2]proto.Millis // of sessions
	latency           [2]int64        // of a message, in microseconds
	silent            bool            // connections stand still, and do not break, while nothing comes through
	spikes            int             // messages that take much longer, in percent
	disk              [2]int64        // of a write
	stalls            int             // writes that take much longer, in percent
	keep              int             // transactions that the log keeps behind the image
	window            int             // transactions that a leader keeps in memory
}

// Hierarchical quorums, by the number of voters.
var hierarchies = map[int][]string{
	5: {"group.1=1:2:3,group.2=4:5", "group.1=1:2,group.2=3:4,group.3=5", "group.1=1:2:3:4:5,weight.1=3"},
	7: {"group.1=1:2:3,group.2=4:5:6,weight.7=0,group.3=7", "group.1=1:2:3,group.2=4:5,group.3=6:7"},
	3: {"group.1=1:2:3,weight.3=0", "group.1=1:2:3,weight.1=2"},
}

func newShape(w *world) shape {
	s := shape{
		voters: 3, clients: 2 + w.rnd.IntN(3), faulty: w.between(3_000_000, 7_000_000),
		pause: w.between(100_000, 600_000), clientTimeout: [2]proto.Millis{400, 1500},
		latency: [2]int64{50, 1500}, spikes: 3, disk: [2]int64{50, 800}, stalls: 2,
	}
	switch n := w.rnd.IntN(20); {
	case n < 5:
		s.voters = 5
	case n < 7:
		s.voters = 7
	case n < 8:
		s.voters = 2
	case n < 9:
		s.voters = 4
	}
	if w.chance(30) {
		s.observers, s.masters = 1+w.rnd.IntN(2), w.chance(50)
	}
	if list := hierarchies[s.voters]; len(list) > 0 && w.chance(12) {
		s.groups = list[w.rnd.IntN(len(list))]
	}
	s.lazy, s.local = w.chance(25), w.opt.Local
	if w.chance(15) {
		s.epochSize = uint32(w.between(3, 150))
	}
	s.foreign = w.chance(6)
	if w.chance(30) {
		s.drift = w.between(1, 60)
	}
	if w.chance(15) {
		s.latency, s.spikes = [2]int64{500, 30_000}, 10
	}
	if w.chance(15) {
		s.disk, s.stalls = [2]int64{1000, 40_000}, 5
	}
	s.keep, s.window = w.rnd.IntN(40), w.rnd.IntN(40)
	for i := range s.weights {
		if w.chance(70) {
			s.weights[i] = 1 + w.rnd.IntN(4)
		}
	}
	s.weights[faultMend] = max(s.weights[faultMend], 2)
	s.eager, s.renews = w.chance(30), w.chance(20)
	s.silent = rand.New(rand.NewPCG(w.report.Seed, 0x51e7)).IntN(3) == 0 // the others stay what they were
	return s
}

// String says what is special about a shape.
func (s shape) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d servers", s.voters)
	if s.observers > 0 {
		fmt.Fprintf(&b, ", %d observers", s.observers)
	}
	if s.masters {
		b.WriteString(" of followers")
	}
	if s.groups != "" {
		fmt.Fprintf(&b, ", %s", s.groups)
	}
	if s.local {
		b.WriteString(", local sessions")
	}
	if s.eager {
		b.WriteString(", eager clients")
	}
	if s.renews {
		b.WriteString(", new processes")
	}
	if s.epochSize > 0 {
		fmt.Fprintf(&b, ", epochs of %d", s.epochSize)
	}
	if s.foreign {
		b.WriteString(", foreign history")
	}
	if s.silent {
		b.WriteString(", silent cuts")
	}
	if s.drift > 0 {
		fmt.Fprintf(&b, ", drift %d", s.drift)
	}
	return b.String()
}

// members is the list of servers.
func (s shape) members() *ensemble.Config {
	var list []ensemble.Setting
	for i := range s.voters + s.observers {
		role := "participant"
		if i >= s.voters {
			role = "observer"
		}
		id := strconv.Itoa(i + 1)
		list = append(list, ensemble.Setting{Key: "server." + id, Value: "host" + id + ":2888:3888:" + role})
	}
	if s.groups != "" {
		for line := range strings.SplitSeq(s.groups, ",") {
			key, value, _ := strings.Cut(line, "=")
			list = append(list, ensemble.Setting{Key: key, Value: value})
		}
	}
	c, err := ensemble.Parse(list)
	if err != nil {
		panic(err)
	}
	return c
}
