package migrate

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/server"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// Target says how to write Apache's files.
type Target struct {
	Dirs
	How      zkfile.Compression
	WithID   bool  // write the file myid
	ServerID int64 // in it
}

// halfSuffix is behind the name of a directory that is not complete.
const halfSuffix = ".half"

// Export reads zkd's data and writes them as Apache's files: a snapshot of what is committed,
// and a log with what is behind it, so that a leader can still have its end cut off.
func Export(from store.Options, to Target, o Options) (report *Report, err error) {
	if err := to.empty(); err != nil {
		return nil, err
	}
	if err := whole(from); err != nil {
		return nil, err
	}
	from.ReadOnly = true
	st, err := store.Open(from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	o.say("reading %s", from.ImageDir)
	suffix := new(proto.LogBatch)
	t, err := server.Recover(st, o.Tree, quiet(), nil, suffix)
	if err != nil {
		return nil, err
	}
	base := t.LastZxid()
	if err := to.begin(); err != nil {
		return nil, err
	}
	o.say("writing the snapshot")
	if err := to.writeSnapshot(t, base); err != nil {
		return nil, err
	}
	if err := to.writeLog(t, suffix); err != nil {
		return nil, err
	}
	hard := st.HardState()
	current := max(hard.CurrentEpoch, t.LastZxid().Epoch64())
	if err := to.writeNumbers(max(hard.AcceptedEpoch, current), current); err != nil {
		return nil, err
	}
	want := whatOf(t)
	o.say("reading what was written")
	o.NoLog, o.Force = true, false
	s, err := Read(to.half(), o)
	if err != nil {
		return nil, err
	}
	if err := want.differs(whatOf(s.Tree)); err != nil {
		return nil, err
	}
	report = want.report(s)
	report.Snapshot = filepath.Join(to.Data, zkfile.VersionDir, filepath.Base(s.Snapshot))
	return report, to.finish()
}

// whole refuses a store that has not got back yet what it had acknowledged: a server of Apache's
// on what it holds would vote as if that were all.
func whole(from store.Options) error {
	healing, err := store.IsHealing(from)
	if err != nil || !healing {
		return err
	}
	return fmt.Errorf("migrate: %s holds HEALING: the data were damaged, and the server has not got everything back "+
		"from a leader yet; start zkd and wait until the file is gone, or, once all other servers are whole, "+
		"start Apache's server on an empty directory", from.ImageDir)
}

// Load reads what zkd's image holds. The log behind it, of which the end may not be
// committed, is left out.
func Load(from store.Options, o Options) (t *tree.Tree, err error) {
	from.ReadOnly = true
	st, err := store.Open(from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return server.Recover(st, o.Tree, quiet(), nil, new(proto.LogBatch))
}

// dirs are the directories to make, the one that makes the rest valid last.
func (d Dirs) dirs() []string { return slices.Compact([]string{d.log(), d.Data}) }

func halfDir(dir string) string { return filepath.Join(dir, zkfile.VersionDir+halfSuffix) }

func (d Dirs) half() Dirs { return Dirs{halfDir(d.Data), halfDir(d.log())} }

// empty refuses directories with something in them.
func (to *Target) empty() error {
	for _, dir := range to.dirs() {
		names, err := os.ReadDir(filepath.Join(dir, zkfile.VersionDir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if len(names) > 0 {
			return fmt.Errorf("migrate: %s is not empty; give a directory without data, or move them away",
				filepath.Join(dir, zkfile.VersionDir))
		}
	}
	id, ok, err := to.Dirs.ServerID()
	if err != nil {
		return err
	}
	if ok && to.WithID && id != to.ServerID {
		return fmt.Errorf("migrate: %s says %d, but this server is %d; is that its directory?",
			filepath.Join(to.Data, zkfile.ServerID), id, to.ServerID)
	}
	return nil
}

// begin makes the directories under other names.
func (to *Target) begin() error {
	for _, dir := range to.dirs() {
		if err := os.RemoveAll(halfDir(dir)); err != nil {
			return err
		}
		if err := os.MkdirAll(halfDir(dir), 0o750); err != nil {
			return err
		}
	}
	return nil
}

// write makes a file, durably.
func write(path string, content func(w *bufio.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = content(w)
	return errors.Join(err, w.Flush(), f.Sync(), f.Close())
}

func (to *Target) writeSnapshot(t *tree.Tree, base proto.Zxid) error {
	path := filepath.Join(halfDir(to.Data), zkfile.SnapshotName(base, to.How))
	return write(path, func(w *bufio.Writer) error {
		c := to.How.NewWriter(w)
		return errors.Join(zkfile.WriteSnapshot(c, zkfile.Trailer{}, t.WriteBody), c.Close())
	})
}

// writeLog writes what is behind the snapshot, and applies it.
func (to *Target) writeLog(t *tree.Tree, suffix *proto.LogBatch) error {
	if suffix.Len() == 0 {
		return nil
	}
	path := filepath.Join(halfDir(to.log()), zkfile.LogName(suffix.First()))
	return write(path, func(w *bufio.Writer) error {
		l, err := zkfile.NewLogWriter(w)
		var txn proto.Txn
		var res tree.Result
		for i := 0; i < suffix.Len() && err == nil; i++ {
			b := suffix.Txn(i)
			if err = errors.Join(txn.Decode(b), l.Append(b)); err == nil {
				t.Apply(&txn, &res)
				t.ClearEvents()
			}
		}
		return err
	})
}

func (to *Target) writeNumbers(accepted, current int64) error {
	for name, n := range map[string]int64{zkfile.AcceptedEpoch: accepted, zkfile.CurrentEpoch: current} {
		if err := writeNumber(filepath.Join(halfDir(to.Data), name), n); err != nil {
			return err
		}
	}
	return nil
}

func writeNumber(path string, n int64) error {
	return write(path, func(w *bufio.Writer) error {
		_, err := w.WriteString(strconv.FormatInt(n, 10))
		return err
	})
}

// finish puts everything in its place.
func (to *Target) finish() error {
	if to.WithID {
		if err := writeNumber(filepath.Join(to.Data, zkfile.ServerID), to.ServerID); err != nil {
			return err
		}
	}
	for _, dir := range to.dirs() {
		if err := syncDir(halfDir(dir)); err != nil {
			return err
		}
		if err := os.Rename(halfDir(dir), filepath.Join(dir, zkfile.VersionDir)); err != nil {
			return err
		}
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
