package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

var opt = Options{Tree: tree.Options{ExtendedTypes: true}}

// javaDirs are directories that Apache's servers left.
func javaDirs(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*")
	if err != nil || len(dirs) < 4 {
		t.Fatalf("%d directories, %v", len(dirs), err)
	}
	return dirs
}

// copyOf copies a server's directory, to be damaged.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// render writes a tree down, parents first.
func render(t *testing.T, tr *tree.Tree) string {
	t.Helper()
	var lines []string
	tr.Walk("/", func(z tree.Znode) {
		lines = append(lines, fmt.Sprintf("%s %q %v %+v", z.Path, z.Data, z.ACLs, z.Stat))
	})
	tr.Sessions(func(id proto.SessionID, timeout int32) { lines = append(lines, fmt.Sprint("session ", id, timeout)) })
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func mustRead(t *testing.T, dir string, o Options) *State {
	t.Helper()
	s, err := Read(Dirs{Data: dir}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReadJava(t *testing.T) {
	for _, dir := range javaDirs(t) {
		s := mustRead(t, dir, opt)
		if s.Digests < 2 || len(s.Notes) > 0 || !s.TTL || s.Txns == 0 {
			t.Errorf("%s: %+v", dir, s)
		}
		for path, want := range map[string]string{
			"/a": "three", "/a/n25": "data 25", "/a/m8": "data 8", "/a/s-0000000001": "y", "/box/in": "1", "/ttl": "t",
			"/zookeeper/quota/a/zookeeper_limits": "count=100,bytes=-1",
		} {
			if z, ok := s.Tree.Lookup(path); !ok || string(z.Data) != want {
				t.Errorf("%s: %s: %q, %v", dir, path, z.Data, ok)
			}
		}
		if _, ok := s.Tree.Lookup("/gone"); ok {
			t.Errorf("%s: /gone is there", dir)
		}
		if z, _ := s.Tree.Lookup("/a"); z.Stat.Version != 2 || z.Stat.Cversion != 35 || z.Stat.NumChildren != 35 {
			t.Errorf("%s: %+v", dir, z.Stat)
		}
		if z, _ := s.Tree.Lookup("/acl"); len(z.ACLs) != 1 || z.ACLs[0].ID.Scheme != "digest" {
			t.Errorf("%s: %+v", dir, z.ACLs)
		}
	}
}

// newest is the newest snapshot of a directory.
func newest(t *testing.T, dir string) file {
	t.Helper()
	files, err := Dirs{Data: dir}.snapshots()
	if err != nil || len(files) == 0 {
		t.Fatalf("%d snapshots, %v", len(files), err)
	}
	return files[0]
}

func TestOlderSnapshot(t *testing.T) {
	for _, dir := range javaDirs(t) {
		want := mustRead(t, dir, opt)
		for _, cut := range []int64{0, 8, 100, -1} {
			torn := copyOf(t, dir)
			f := newest(t, torn)
			if cut < 0 {
				st, _ := os.Stat(f.path)
				cut += st.Size()
			}
			os.Truncate(f.path, cut)
			s := mustRead(t, torn, opt)
			if render(t, s.Tree) != render(t, want.Tree) || s.Zxid != want.Zxid || s.Tree.Digest() != want.Tree.Digest() {
				t.Errorf("%s: with %d bytes of the newest snapshot it is something else", dir, cut)
			}
			if len(s.Notes) != 1 || s.Txns <= want.Txns {
				t.Errorf("%s: %+v", dir, s)
			}
		}
		none := copyOf(t, dir)
		files, _ := Dirs{Data: none}.snapshots()
		for _, f := range files {
			os.Truncate(f.path, 50)
		}
		if _, err := Read(Dirs{Data: none}, opt); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "none of the 3") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// lastLog is the newest log of a directory, and its length without padding.
func lastLog(t *testing.T, dir string) (path string, length int) {
	t.Helper()
	files, err := Dirs{Data: dir}.logs()
	if err != nil || len(files) == 0 {
		t.Fatalf("%d logs, %v", len(files), err)
	}
	path = files[len(files)-1].path
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, len(bytes.TrimRight(b, "\x00"))
}

func TestTornLog(t *testing.T) {
	dir := javaDirs(t)[0]
	want := mustRead(t, dir, opt)
	torn := copyOf(t, dir)
	path, length := lastLog(t, torn)
	os.Truncate(path, int64(length-1))
	s := mustRead(t, torn, opt)
	if s.Zxid != want.Zxid-1 || s.Txns != want.Txns-1 || len(s.Notes) != 1 {
		t.Errorf("%+v", s)
	}
	os.Truncate(path, 0) // its maker did not get as far as the header
	s = mustRead(t, torn, opt)
	if len(s.Notes) != 0 || s.Zxid >= want.Zxid-1 {
		t.Errorf("%+v", s)
	}
}

func TestDamagedLog(t *testing.T) {
	bad := copyOf(t, javaDirs(t)[0])
	path, _ := lastLog(t, bad)
	b, _ := os.ReadFile(path)
	b[60] ^= 1
	os.WriteFile(path, b, 0o600)
	if _, err := Read(Dirs{Data: bad}, opt); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "next whole one") {
		t.Errorf("%v", err)
	}
}

// TestMissing has logs that are not there, and one that lacks its beginning.
func TestMissing(t *testing.T) {
	dir := javaDirs(t)[0]
	gap := copyOf(t, dir)
	os.Truncate(newest(t, gap).path, 0)
	logs, _ := Dirs{Data: gap}.logs()
	os.Remove(logs[len(logs)-2].path)
	if _, err := Read(Dirs{Data: gap}, opt); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "in between are missing") {
		t.Errorf("a gap: %v", err)
	}
	force := opt
	force.Force = true
	if s := mustRead(t, gap, force); len(s.Notes) < 3 {
		t.Errorf("%q", s.Notes)
	}
	empty := copyOf(t, dir)
	for _, f := range logs {
		os.Remove(filepath.Join(empty, "version-2", filepath.Base(f.path)))
	}
	if _, err := Read(Dirs{Data: empty}, opt); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "--log-from") {
		t.Errorf("no log: %v", err)
	}
	alone := opt
	alone.NoLog = true
	if s := mustRead(t, empty, alone); s.Txns != 0 || s.Digests != 1 {
		t.Errorf("%+v", s)
	}
	if _, err := Read(Dirs{Data: t.TempDir()}, opt); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "no snapshot") {
		t.Errorf("nothing: %v", err)
	}
	bare := copyOf(t, dir)
	snapshots, _ := Dirs{Data: bare}.snapshots()
	for _, f := range snapshots {
		os.Remove(f.path)
	}
	if _, err := Read(Dirs{Data: bare}, force); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "no snapshot") {
		t.Errorf("%d snapshots are gone, the logs are there: %v", len(snapshots), err)
	}
}

// rewrite changes the txns of the newest log.
func rewrite(t *testing.T, dir string, change func(*proto.Txn)) {
	t.Helper()
	path, _ := lastLog(t, dir)
	b, _ := os.ReadFile(path)
	l, err := zkfile.NewLogReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, _ := zkfile.NewLogWriter(&out)
	for {
		b, err := l.Next()
		if err != nil {
			break
		}
		var txn proto.Txn
		if err := txn.Decode(b); err != nil {
			t.Fatal(err)
		}
		change(&txn)
		w.Append(txn.Append(nil))
	}
	os.WriteFile(path, out.Bytes(), 0o600)
}

// TestWrongDigest has a server whose history is not the ensemble's.
func TestWrongDigest(t *testing.T) {
	for _, dir := range javaDirs(t) {
		bad := copyOf(t, dir)
		rewrite(t, bad, func(txn *proto.Txn) {
			if strings.HasPrefix(string(txn.Path), "/a/m") {
				txn.Data = []byte("something else")
			}
		})
		if _, err := Read(Dirs{Data: bad}, opt); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "digest") {
			t.Errorf("%s: %v", dir, err)
		}
		force := opt
		force.Force = true
		if s := mustRead(t, bad, force); len(s.Notes) != 1 {
			t.Errorf("%s: %q", dir, s.Notes)
		}
	}
}

// TestFirstSnapshot reads what a server writes at its first start: its digest is 0.
func TestFirstSnapshot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snapshot.0")
	var b bytes.Buffer
	trailer := zkfile.Trailer{HasDigest: true, DigestVersion: 2, HasLast: true}
	if err := zkfile.WriteSnapshot(&b, trailer, tree.New(opt.Tree).WriteBody); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(path, b.Bytes(), 0o600)
	s, err := ReadSnapshot(path, opt)
	if err != nil || s.Digests != 0 || len(s.Notes) > 0 {
		t.Errorf("%+v, %v", s, err)
	}
	dir := Dirs{Data: filepath.Dir(path)}
	if _, err := Read(dir, opt); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "--log-from") {
		t.Errorf("without logs: %v", err)
	}
	alone := opt
	alone.NoLog = true
	if s, err := Read(dir, alone); err != nil || s.Zxid != 0 || len(s.Notes) > 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestEpochs(t *testing.T) {
	dir := copyOf(t, javaDirs(t)[0])
	rewrite(t, dir, func(txn *proto.Txn) { txn.HasDigest = false })
	put := func(name, text string) { os.WriteFile(filepath.Join(dir, "version-2", name), []byte(text), 0o600) }
	for _, c := range []struct {
		current, accepted string
		want              [2]int64 // accepted, current
		fault             string
	}{
		{"", "", [2]int64{0, 0}, ""}, {"3", "5", [2]int64{5, 3}, ""}, {"3\n", "3", [2]int64{3, 3}, ""},
		{"3", "2", [2]int64{}, "never less"}, {"x", "2", [2]int64{}, "not a number"}, {"-1", "-1", [2]int64{0, 0}, ""},
	} {
		if put("currentEpoch", c.current); c.current == "" {
			os.Remove(filepath.Join(dir, "version-2", "currentEpoch"))
		}
		if put("acceptedEpoch", c.accepted); c.accepted == "" {
			os.Remove(filepath.Join(dir, "version-2", "acceptedEpoch"))
		}
		s, err := Read(Dirs{Data: dir}, opt)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if err != nil || [2]int64{s.Accepted, s.Current} != c.want {
			t.Errorf("%+v: %+v, %v", c, s, err)
		}
	}
}

func TestMixedUp(t *testing.T) {
	dir := javaDirs(t)[0]
	logs := t.TempDir()
	split := copyOf(t, dir)
	os.Mkdir(filepath.Join(logs, "version-2"), 0o700)
	files, _ := Dirs{Data: split}.logs()
	for _, f := range files {
		os.Rename(f.path, filepath.Join(logs, "version-2", filepath.Base(f.path)))
	}
	s, err := Read(Dirs{Data: split, Log: logs}, opt)
	if want := mustRead(t, dir, opt); err != nil || render(t, s.Tree) != render(t, want.Tree) {
		t.Errorf("two directories: %v", err)
	}
	if _, err := Read(Dirs{Data: logs, Log: split}, opt); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "mixed up") {
		t.Errorf("%v", err)
	}
}

func storeOf(dir string) store.Options {
	return store.Options{ImageDir: filepath.Join(dir, "image"), LogDir: filepath.Join(dir, "log"), Log: quiet(), NoReserve: true}
}

func anything(*Report) error { return nil }

func TestImportExport(t *testing.T) {
	for i, dir := range javaDirs(t) {
		want := mustRead(t, dir, opt)
		top := t.TempDir()
		to := storeOf(top)
		report, err := Import(Dirs{Data: dir}, to, opt, anything)
		if err != nil {
			t.Fatal(err)
		}
		if report.Zxid != want.Zxid || report.Digest != want.Tree.Digest() || report.Znodes != want.Tree.Counts().Znodes {
			t.Errorf("%s: %+v", dir, report)
		}
		if _, err := Import(Dirs{Data: dir}, to, opt, anything); !errors.Is(err, store.ErrNotEmpty) {
			t.Errorf("%s: again: %v", dir, err)
		}
		how := zkfile.Compression(i % 3)
		target := Target{Dirs: Dirs{Data: filepath.Join(top, "java")}, How: how, WithID: true, ServerID: 3}
		out, err := Export(to, target, opt)
		if err != nil {
			t.Fatal(err)
		}
		alone := opt
		alone.NoLog = true
		s := mustRead(t, target.Data, alone)
		if render(t, s.Tree) != render(t, want.Tree) || s.Zxid != want.Zxid || s.Snapshot != out.Snapshot {
			t.Errorf("%s: what came back is something else", dir)
		}
		if id, ok, err := target.Dirs.ServerID(); id != 3 || !ok || err != nil {
			t.Errorf("%s: myid %d, %v, %v", dir, id, ok, err)
		}
		if _, err := Export(to, target, opt); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("%s: again: %v", dir, err)
		}
	}
}

// TestExportLog has txns behind the image, in a log that starts with an epoch.
func TestExportLog(t *testing.T) {
	top := t.TempDir()
	st, err := store.Open(storeOf(top))
	if err != nil {
		t.Fatal(err)
	}
	tr := tree.New(opt.Tree)
	var batch proto.LogBatch
	var res tree.Result
	for i := range 20 {
		zxid := proto.MakeZxid(4, uint32(i+1))
		txn := proto.Txn{TxnHeader: proto.TxnHeader{Session: 9, Zxid: zxid, Time: 1000, Type: proto.OpCreateSession}, Timeout: 4000}
		if i > 0 {
			txn.Type, txn.Path, txn.ParentCversion = proto.OpCreate, fmt.Appendf(nil, "/n%d", i), -1
			txn.ACL = proto.AppendACLs(nil, proto.OpenACLUnsafe)
		}
		tr.Apply(&txn, &res)
		batch.Add(zxid, &txn)
	}
	if err := errors.Join(st.SetHardState(store.HardState{AcceptedEpoch: 6, CurrentEpoch: 4}), st.Append(&batch), st.Close()); err != nil {
		t.Fatal(err)
	}
	java := Target{Dirs: Dirs{Data: filepath.Join(top, "java"), Log: filepath.Join(top, "javalog")}}
	if _, err := Export(storeOf(top), java, opt); err != nil {
		t.Fatal(err)
	}
	s, err := Read(java.Dirs, opt)
	if err != nil {
		t.Fatal(err)
	}
	if render(t, s.Tree) != render(t, tr) || s.Txns != 20 || s.Accepted != 6 || s.Current != 4 || s.Zxid != 0x400000014 {
		t.Errorf("%+v", s)
	}
	back := storeOf(t.TempDir())
	if _, err := Import(java.Dirs, back, opt, anything); err != nil {
		t.Fatal(err)
	}
	if st, err = store.Open(back); err != nil || st.HardState() != (store.HardState{AcceptedEpoch: 6, CurrentEpoch: 4}) {
		t.Errorf("%v, %v", st.HardState(), err)
	}
	st.Close()
}

// TestHalf has imports that fail: no server may start on what they leave.
func TestHalf(t *testing.T) {
	to := storeOf(t.TempDir())
	broken := errors.New("broken")
	fail := func(c store.Content) {
		t.Helper()
		if err := store.Import(to, c); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if _, err := store.Open(to); !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), "was not finished") {
			t.Fatalf("it can be opened: %v", err)
		}
	}
	fail(store.Content{Fill: func(b *store.ImageBatch, flush func() error) error {
		b.Put([]byte{'n', 0, 0, 0, 1}, []byte("x"))
		return errors.Join(flush(), broken)
	}})
	fill := func(b *store.ImageBatch, flush func() error) error {
		tr := tree.New(opt.Tree)
		tr.Apply(&proto.Txn{TxnHeader: proto.TxnHeader{Session: 1, Zxid: 7, Type: proto.OpCreateSession}, Timeout: 5}, new(tree.Result))
		return fillWith(tr, b, flush)
	}
	fail(store.Content{Zxid: 7, Fill: fill, Check: func(*store.Store) error { return broken }})
	if _, err := Import(Dirs{Data: javaDirs(t)[0]}, to, opt, anything); err != nil { // and it can be done again
		t.Fatal(err)
	}
	st, err := store.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Import(Dirs{Data: javaDirs(t)[0]}, to, opt, anything); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("beside a server: %v", err)
	}
	if _, err := Export(to, Target{Dirs: Dirs{Data: t.TempDir()}}, opt); !errors.Is(err, store.ErrInUse) {
		t.Errorf("beside a server: %v", err)
	}
	st.Close()
	if err := store.Import(storeOf(t.TempDir()), store.Content{Fill: fill, Zxid: 7, Check: func(*store.Store) error { return nil }}); err != nil {
		t.Error(err)
	}
}

// TestExportChangesNothing exports and looks at every byte of what was read.
func TestExportChangesNothing(t *testing.T) {
	top := t.TempDir()
	if _, err := Import(Dirs{Data: javaDirs(t)[0]}, storeOf(top), opt, anything); err != nil {
		t.Fatal(err)
	}
	before := everything(t, top)
	if _, err := Export(storeOf(top), Target{Dirs: Dirs{Data: t.TempDir()}}, opt); err != nil {
		t.Fatal(err)
	}
	if after := everything(t, top); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func everything(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", path, text)
		return err
	})
	return b.String()
}
