package server

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
)

func TestFailingImage(t *testing.T) {
	broken := errors.New("input/output error")
	r := newRig(t, Options{Image: ImagePolicy{Records: 1}}, func(r *rig) { r.image.errs = []error{broken} })
	<-r.ended // the image lacks what a new tree has, and is written at once
	if !errors.Is(r.err, broken) {
		t.Errorf("Run returned %v", r.err)
	}
}

func TestNoSpaceInTheImage(t *testing.T) {
	full := fmt.Errorf("write: %w", store.ErrNoSpace)
	r := newRig(t, Options{Image: ImagePolicy{Records: 1}}, func(r *rig) { r.image.errs = []error{full} })
	u := r.user()
	r.until("the state is shown", func() bool { return r.s.Status().ImageFull })
	u.send(create(1, "/a", nil))
	u.want(1, proto.ErrOK)
	r.until("the image is written", func() bool { return r.image.at() == 2 && !r.s.Status().ImageFull })
}

// TestImagePolicy checks that an image is written while the server runs, when there is
// enough of it or it is old enough, and for a last time at the end.
func TestImagePolicy(t *testing.T) {
	for name, p := range map[string]ImagePolicy{
		"records": {Records: 10, Age: time.Hour},
		"bytes":   {Bytes: 1000, Age: time.Hour},
		"txns":    {Txns: 10 * firstShare, Age: time.Hour},
		"age":     {Age: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{Image: p}, nil)
			u := r.user()
			for i := range int32(20) {
				u.send(create(i, fmt.Sprintf("/%d", i), hundred))
				u.want(i, proto.ErrOK)
			}
			r.until("an image", func() bool { return r.image.at() > 0 })
		})
	}
	t.Run("txns that failed", func(t *testing.T) {
		r := newRig(t, Options{Image: ImagePolicy{Txns: 100, Age: time.Hour}}, nil)
		u := r.user()
		fail := func(from, to int32) {
			for i := from; i < to; i++ {
				u.send(set(i, "/none", nil))
				u.want(i, proto.ErrNoNode)
			}
		}
		fail(0, 20)
		r.until("the first image", func() bool { return r.image.at() > 0 })
		time.Sleep(2 * imagePeriod)
		first := r.image.at()
		fail(20, 90)
		time.Sleep(2 * imagePeriod)
		if r.image.at() != first {
			t.Errorf("the image is at %v too soon", r.image.at())
		}
		fail(90, 200)
		r.until("another image", func() bool { return r.image.at() > first })
	})
	r := newRig(t, Options{Image: ImagePolicy{Age: time.Hour}}, nil)
	u := r.user()
	u.send(create(1, "/a", nil))
	u.want(1, proto.ErrOK)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if r.image.at() != 2 || r.image.writes != 1 {
		t.Errorf("the image is at %v after %d writes", r.image.at(), r.image.writes)
	}
}
