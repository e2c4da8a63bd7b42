package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// watchedDisk sorts what happens to requests by what happens to files meanwhile: a window of time in which
// one came or went is busy, since the server then trims, compacts or begins a new file.
type watchedDisk struct {
	mu          sync.Mutex
	now         histogram // of the window that is open
	quiet, busy histogram
	windows     [2]int // quiet and busy ones
	most, last  int64  // bytes
	dirs        []string
	files       map[string]struct{}
}

func (d *watchedDisk) add(took time.Duration) {
	d.mu.Lock()
	d.now.add(took)
	d.mu.Unlock()
}

// look ends a window.
func (d *watchedDisk) look() {
	files, size := make(map[string]struct{}), int64(0)
	for _, dir := range d.dirs {
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil // files vanish meanwhile
			}
			files[path] = struct{}{}
			if info, err := e.Info(); err == nil {
				size += info.Size()
			}
			return nil
		})
	}
	same := len(files) == len(d.files)
	for f := range files {
		_, ok := d.files[f]
		same = same && ok
	}
	d.files, d.last, d.most = files, size, max(d.most, size)
	d.mu.Lock()
	defer d.mu.Unlock()
	if same {
		d.quiet.merge(&d.now)
		d.windows[0]++
	} else {
		d.busy.merge(&d.now)
		d.windows[1]++
	}
	d.now = histogram{}
}

// watch looks again and again until done is closed.
func (d *watchedDisk) watch(every time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			d.look()
			return
		case <-tick.C:
			d.look()
		}
	}
}

// disk writes --ops times to --nodes znodes, and watches the server's directories.
func disk(o options) (result, error) {
	if len(o.dirs) == 0 {
		return result{}, errors.New("--dir must name the server's directories")
	}
	if o.ops == 0 {
		o.ops = 5_000_000
	}
	if err := prepare(o); err != nil {
		return result{}, err
	}
	d := &watchedDisk{dirs: o.dirs}
	d.look()
	d.windows = [2]int{}
	done, watched := make(chan struct{}), make(chan struct{})
	go func() { d.watch(o.every, done); close(watched) }()
	start := time.Now()
	err := parallel(o.conns, o.conns, func(i int) error { return pipeline(o, i, 0, d.add) })
	took := time.Since(start)
	close(done)
	<-watched
	r := result{Seconds: took.Seconds(), DiskMost: d.most, DiskLast: d.last, Windows: d.windows}
	r.QuietP999, r.BusyP999 = d.quiet.quantile(0.999), d.busy.quantile(0.999)
	d.quiet.merge(&d.busy)
	r.Ops = d.quiet.total
	r.fill(&d.quiet)
	return r, err
}
