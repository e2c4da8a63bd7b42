package ensemble

// Weight is a server's say in a quorum, 0 for who is no participant.
func (c *Config) Weight(id int64) int64 {
	if !c.Votes(id) {
		return 0
	}
	if w, ok := c.Weights[id]; ok && len(c.Groups) > 0 {
		return w
	}
	return 1
}

// HasQuorum says whether the servers for which in is true form a quorum: more than half
// of the participants; or, with groups, more than half of each of more than half of the
// groups that weigh anything. Source: QuorumMaj.java and QuorumHierarchical.java.
func (c *Config) HasQuorum(in func(id int64) bool) bool {
	if len(c.Groups) > 0 {
		return c.hasGroups(in)
	}
	voters, votes := 0, 0
	c.Voters(func(id int64) {
		voters++
		if in(id) {
			votes++
		}
	})
	return votes > voters/2
}

func (c *Config) hasGroups(in func(id int64) bool) bool {
	groups, won := 0, 0
	for _, g := range c.Groups {
		var weight, votes int64
		for _, id := range g.Members {
			w := c.Weight(id)
			weight += w
			if in(id) {
				votes += w
			}
		}
		if weight == 0 {
			continue
		}
		groups++
		if votes > weight/2 {
			won++
		}
	}
	return won > groups/2
}
