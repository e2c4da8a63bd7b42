package proto

import "slices"

// Rift is a part of history that a restore has undone: what came after After and before Before,
// with which the restored data begin.
type Rift struct{ After, Before Zxid }

// Undone says whether a client that has seen a zxid has seen what was undone.
func Undone(rifts []Rift, seen Zxid) bool {
	return slices.ContainsFunc(rifts, func(r Rift) bool { return seen > r.After && seen < r.Before })
}

// AddRift adds the newest rift. The ones that lie in it are part of it: it begins before them.
func AddRift(rifts []Rift, r Rift) []Rift {
	kept := slices.DeleteFunc(slices.Clone(rifts), func(old Rift) bool { return old.Before > r.After })
	return append(kept, r)
}
