package tree

// nodeSet is a set of znodes.
type nodeSet struct {
	list []nodeID
	pos  map[nodeID]int32 // only once the list is long
}

// longSet is the length from which a list has an index.
const longSet = 16

func (s *nodeSet) len() int { return len(s.list) }

func (s *nodeSet) find(id nodeID) int {
	if s.pos != nil {
		if i, ok := s.pos[id]; ok {
			return int(i)
		}
	} else {
		for i, e := range s.list {
			if e == id {
				return i
			}
		}
	}
	panic("tree: a znode is missing from its owner's set")
}

func (s *nodeSet) add(id nodeID) {
	if s.pos == nil && len(s.list) == longSet {
		s.pos = make(map[nodeID]int32, 2*longSet)
		for i, e := range s.list {
			s.pos[e] = int32(i)
		}
	}
	if s.pos != nil {
		s.pos[id] = int32(len(s.list))
	}
	s.list = append(s.list, id)
}

func (s *nodeSet) remove(id nodeID) {
	i, last := s.find(id), len(s.list)-1
	moved := s.list[last]
	s.list[i] = moved
	s.list = s.list[:last]
	if s.pos != nil {
		s.pos[moved] = int32(i)
		delete(s.pos, id)
	}
}
