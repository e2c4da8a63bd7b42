package meter

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBuckets(t *testing.T) {
	for i := range buckets {
		if got := bucketOf(floorOf(i)); got != i {
			t.Fatalf("the least value of bucket %d, %d, is in bucket %d", i, floorOf(i), got)
		}
		if got := bucketOf(floorOf(i+1) - 1); got != i {
			t.Fatalf("the greatest value of bucket %d, %d, is in bucket %d", i, floorOf(i+1)-1, got)
		}
	}
	if bucketOf(math.MaxInt64) != buckets-1 {
		t.Error("the greatest number is not in the last bucket")
	}
}

func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var d Dist
	var all []int64
	for range 20_000 {
		v := int64(math.Exp(r.Float64() * 20))
		all = append(all, v)
		d.Add(v)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 0.999, 1} {
		want := float64(all[max(int(math.Ceil(q*float64(len(all))))-1, 0)])
		if got := float64(d.Quantile(q)); math.Abs(got-want) > want/8+1 {
			t.Errorf("quantile %v is %v and not %v", q, got, want)
		}
	}
	if d.Count != 20_000 || d.Min != all[0] || d.Max != all[len(all)-1] {
		t.Errorf("count %d, from %d to %d", d.Count, d.Min, d.Max)
	}
	if got := d.AtMost(all[len(all)-1]); got != 20_000 {
		t.Errorf("%d values are at most the greatest", got)
	}
}

func TestSmall(t *testing.T) {
	var d Dist
	if d.Mean() != 0 || d.Quantile(0.5) != 0 || d.AtMost(7) != 0 {
		t.Error("an empty distribution is not 0")
	}
	for _, v := range []int64{3, -1, 5} {
		d.Add(v)
	}
	if d.Min != 0 || d.Max != 5 || d.Sum != 8 || d.Quantile(0.5) != 3 || d.AtMost(3) != 2 || d.AtMost(2) != 1 {
		t.Errorf("%d to %d, sum %d, median %d", d.Min, d.Max, d.Sum, d.Quantile(0.5))
	}
	var s Size
	if last, least, most := s.Values(); last != -1 || least != -1 || most != -1 {
		t.Error("no size is not -1")
	}
	for _, n := range []int64{7, 3, 5} {
		s.Set(n)
	}
	if last, least, most := s.Values(); last != 5 || least != 3 || most != 7 {
		t.Errorf("sizes %d %d %d", last, least, most)
	}
}

func BenchmarkAdd(b *testing.B) {
	var d Dist
	for i := int64(0); b.Loop(); i++ {
		d.Add(i & 1023)
	}
}
