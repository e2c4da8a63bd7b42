package meter

import (
	"math"
	"math/bits"
)

const (
	subBits = 3                              // an octave has 1<<subBits buckets
	octaves = 40                             // values from 1<<(octaves+subBits-1) up share the last bucket
	buckets = (octaves + 1) * (1 << subBits) // the first 1<<subBits hold one value each
)

// Dist is a distribution of whole numbers from 0 up, of any unit. The zero value is empty.
type Dist struct {
	Count, Sum, Min, Max int64 // Min and Max are 0 while Count is

	counts [buckets]uint64
}

// Add puts a value in; a negative one counts as 0.
func (d *Dist) Add(v int64) {
	v = max(v, 0)
	if d.Count == 0 || v < d.Min {
		d.Min = v
	}
	d.Max = max(d.Max, v)
	d.Count++
	d.Sum += v
	d.counts[bucketOf(v)]++
}

func bucketOf(v int64) int {
	const exact = 1 << subBits
	if v < exact {
		return int(v)
	}
	octave := bits.Len64(uint64(v)) - subBits // 1 for the first octave that is split
	return min(octave<<subBits+int(v>>(octave-1))-exact, buckets-1)
}

// floorOf is the least value of a bucket.
func floorOf(i int) int64 {
	const exact = 1 << subBits
	if i < exact {
		return int64(i)
	}
	return int64(exact+i&(exact-1)) << (i>>subBits - 1)
}

// Mean is the average, 0 of an empty distribution.
func (d *Dist) Mean() float64 {
	if d.Count == 0 {
		return 0
	}
	return float64(d.Sum) / float64(d.Count)
}

// Quantile is the value below or at which the share q, from 0 to 1, of all values lies; 0
// of an empty distribution.
func (d *Dist) Quantile(q float64) int64 {
	rank := uint64(math.Ceil(q * float64(d.Count)))
	seen := uint64(0)
	for i, n := range d.counts {
		if seen += n; n > 0 && seen >= rank {
			middle := (floorOf(i) + floorOf(i+1) - 1) / 2
			return min(max(middle, d.Min), d.Max)
		}
	}
	return d.Max
}

// AtMost is the number of values that are at most v, as far as the buckets tell: those of
// the bucket in which v lies count.
func (d *Dist) AtMost(v int64) uint64 {
	sum := uint64(0)
	for _, n := range d.counts[:bucketOf(max(v, 0))+1] {
		sum += n
	}
	return sum
}

// Size is the last, the least and the greatest of a run of sizes.
type Size struct{ last, least, greatest int64 }

// Set notes a size, which must be above 0.
func (s *Size) Set(n int64) {
	if s.least == 0 || n < s.least {
		s.least = n
	}
	s.last, s.greatest = n, max(s.greatest, n)
}

// Values are the last, the least and the greatest size, all -1 if there was none.
func (s *Size) Values() (last, least, greatest int64) {
	if s.last == 0 {
		return -1, -1, -1
	}
	return s.last, s.least, s.greatest
}
