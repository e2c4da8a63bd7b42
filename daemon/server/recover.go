package server

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/meter"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

// loadWorkers is how many goroutines read the image.
const loadWorkers = 2

// loadGC is the GOGC of the load: what it leaves behind as garbage would stay with the
// process, and the heap that it makes has next to no pointers to follow.
const loadGC = 25

// progressEvery is the number of txns between reports of progress.
const progressEvery = 50_000

// Loading is told how a recovery goes.
type Loading struct {
	// Progress is called now and then, so that a service manager can be told that the start
	// goes on; it may be nil.
	Progress func()
	// What each recovery took in ms, and the transactions that it read from the log.
	Image, Log, All, Txns meter.Dist
}

func (l *Loading) progress() {
	if l.Progress != nil {
		l.Progress()
	}
}

func since(start time.Time) int64 { return time.Since(start).Milliseconds() }

// Recover builds the tree that an opened store holds: the image, and then the log beyond
// it. load may be nil.
//
// A server of an ensemble does not know which of the log's last transactions are
// committed: with a suffix, they are put there instead of into the tree.
func Recover(st *store.Store, opt tree.Options, log logrus.FieldLogger, load *Loading, suffix *proto.LogBatch,
) (*tree.Tree, error) {
	if load == nil {
		load = new(Loading)
	}
	start := time.Now()
	debug.SetGCPercent(loadGC)
	t, err := loadImage(st, opt)
	if err != nil {
		return nil, err
	}
	load.Image.Add(since(start))
	load.progress()
	image := t.LastZxid()
	var (
		txn  proto.Txn
		res  tree.Result
		txns int64
	)
	logStart := time.Now()
	err = st.Replay(image, func(zxid proto.Zxid, b []byte) error {
		if err := txn.Decode(b); err != nil {
			return fmt.Errorf("server: txn %v of the log: %w", zxid, err)
		}
		if txns++; txns%progressEvery == 0 {
			load.progress()
		}
		if suffix != nil {
			suffix.AddBytes(zxid, b)
			return nil
		}
		t.Apply(&txn, &res)
		t.ClearEvents()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if last := st.LastLogged(); suffix == nil && t.LastZxid() != last {
		return nil, fmt.Errorf("server: the log ends at %v, but its txns lead to %v", last, t.LastZxid())
	}
	load.Log.Add(since(logStart))
	load.Txns.Add(txns)
	load.All.Add(since(start))
	log.WithFields(logrus.Fields{"zxid": t.LastZxid(), "image": image, "txns": txns}).Info("Recovered the tree")
	return t, nil
}

func loadImage(st *store.Store, opt tree.Options) (*tree.Tree, error) {
	l := tree.NewLoader(opt)
	l.Together = together
	var mu sync.Mutex // the loader takes one record at a time; reading them is most of the work
	err := st.LoadImage(loadWorkers, func(key, value []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if err := l.Put(key, value); err != nil {
			return fmt.Errorf("%w: the image: %w", store.ErrDamaged, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t, err := l.Finish()
	if err != nil {
		return nil, fmt.Errorf("%w: the image does not make a tree: %w", store.ErrDamaged, err)
	}
	if want := st.ImageZxid(); t.LastZxid() != want {
		return nil, fmt.Errorf("%w: the image is at %v, but its tree is at %v", store.ErrDamaged, want, t.LastZxid())
	}
	return t, nil
}

// together calls its arguments in parallel and returns when all have returned.
func together(parts ...func()) {
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(part)
	}
	wg.Wait()
}
