package tree

// tallies are the numbers of znodes below those znodes of which somebody asked for it,
// and had to be counted: who asks, asks again.
type tallies struct{ byNode map[nodeID]int }

const (
	maxTallies = 256
	minTally   = 512 // znodes that are worth remembering their number
)

// below is the number of znodes below a znode.
func (t *Tree) below(id nodeID) int {
	if count, ok := t.tallies.byNode[id]; ok {
		return count
	}
	count := -1
	t.descend(id, func(nodeID) { count++ })
	if count >= minTally && len(t.tallies.byNode) < maxTallies {
		t.tallies.byNode[id] = count
	}
	return count
}

// grew counts a znode that comes, or with -1 one that goes.
func (c *tallies) grew(t *Tree, id nodeID, sign int) {
	if len(c.byNode) == 0 {
		return
	}
	delete(c.byNode, id)
	for up := t.nodes.at(id).parent; up != none; up = t.nodes.at(up).parent {
		if count, ok := c.byNode[up]; ok {
			c.byNode[up] = count + sign
		}
	}
}
