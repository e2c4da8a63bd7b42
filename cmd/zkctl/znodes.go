package main

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/migrate"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// snapshotView is how a snapshot is looked at. It is a zkfile.Sink.
type snapshotView struct {
	out    io.Writer
	notes  io.Writer
	logDir string
	data   bool
	verify bool
	stats  bool
	depth  int
	json   bool

	znodes     int
	sessions   []sessionLine
	acls       map[int64][]string
	ephemerals map[int64]int // by owner
	subtrees   map[string]*subtree
}

type sessionLine struct {
	Session    string `json:"session"`
	Timeout    int32  `json:"timeout"`
	Ephemerals int    `json:"ephemerals"`
	id         int64
}

// subtree is what a row of --stats tells.
type subtree struct {
	Path       string `json:"path"`
	Znodes     int    `json:"znodes"`
	Ephemerals int    `json:"ephemerals"`
	Bytes      int64  `json:"bytes"`   // of data
	Largest    int    `json:"largest"` // data of a znode
}

func (g *globals) snapshotCommand() *cobra.Command {
	v := new(snapshotView)
	cmd := &cobra.Command{
		Use: "snapshot FILE|DIRECTORY", Args: cobra.ExactArgs(1),
		Short: "Print the znodes and sessions of a snapshot of Apache's, or of zkd's data",
		Long: "snapshot prints what a snapshot file of Apache's holds, the newest whole one of a data\n" +
			"directory, or zkd's image in a dataDir whose server is stopped. The child version is the stored\n" +
			"one, which counts creations.",
		Example: "  zkctl snapshot --stats /var/lib/zookeeper\n" +
			"  zkctl snapshot -o json -d version-2/snapshot.100000000.gz\n  zkctl snapshot --verify /var/lib/zkd",
	}
	f := cmd.Flags()
	f.BoolVarP(&v.data, "data", "d", false, "print the data, too")
	f.BoolVar(&v.verify, "verify", false, "only check it: checksums, structure, and the digest where that is possible")
	f.BoolVar(&v.stats, "stats", false, "print sizes by subtree instead")
	f.IntVar(&v.depth, "depth", 1, "depth of the subtrees")
	f.StringVar(&v.logDir, "log-dir", "", "the dataLogDir, if zkd's data have one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		out := bufio.NewWriter(cmd.OutOrStdout())
		v.out, v.notes, v.json = out, cmd.ErrOrStderr(), g.json
		v.acls, v.ephemerals, v.subtrees = make(map[int64][]string), make(map[int64]int), make(map[string]*subtree)
		return errors.Join(v.show(args[0]), out.Flush())
	}
	return cmd
}

func (v *snapshotView) show(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return v.java(path)
	}
	o := storeAt(path, v.logDir)
	found, err := store.HasData(o)
	if err != nil {
		return err
	}
	if found {
		return v.own(o)
	}
	snapshots, _, err := migrate.Dirs{Data: path}.Files()
	if err != nil {
		return err
	}
	for _, file := range snapshots {
		var s *migrate.State
		if s, err = migrate.ReadSnapshot(file, treeOptions()); err == nil {
			s.Tree = nil
			return v.java(file)
		}
		fmt.Fprintln(v.notes, err)
	}
	return cmp.Or(err, fmt.Errorf("%s holds no snapshot of Apache's and no data of zkd's", path))
}

// storeAt is zkd's data in a directory, to be read; logDir may be empty.
func storeAt(dir, logDir string) store.Options {
	return store.Options{ImageDir: dir, LogDir: cmp.Or(logDir, dir), Log: quietLog(), ReadOnly: true}
}

func treeOptions() migrate.Options {
	return migrate.Options{Tree: tree.Options{ExtendedTypes: true}}
}

// java prints or checks a snapshot file.
func (v *snapshotView) java(path string) error {
	if v.verify {
		s, err := migrate.ReadSnapshot(path, treeOptions())
		if err != nil {
			return err
		}
		v.whole(path, s.Tree, s.Digests)
		for _, n := range s.Notes {
			fmt.Fprintln(v.out, "  "+n)
		}
		return nil
	}
	zxid, how, ok := zkfile.ParseSnapshotName(filepath.Base(path))
	if !ok {
		return fmt.Errorf("%s does not have the name of a snapshot, snapshot.ZXID", path)
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	plain, err := how.NewReader(in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	t, err := zkfile.ReadSnapshot(plain, v)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	digest := ""
	if t.HasDigest {
		digest = fmt.Sprintf("%#x at zxid %v", t.Digest, t.DigestZxid)
	}
	return v.end(zxid, digest)
}

// own prints or checks zkd's image.
func (v *snapshotView) own(o store.Options) error {
	t, err := migrate.Load(o, treeOptions())
	if err != nil {
		return err
	}
	if v.verify {
		v.whole(o.ImageDir, t, 1)
		return nil
	}
	if err := passTo(v, t); err != nil {
		return err
	}
	return v.end(t.LastZxid(), fmt.Sprintf("%#x", t.Digest()))
}

// passTo passes what is in a tree to a sink, as a snapshot has it.
func passTo(sink zkfile.Sink, t *tree.Tree) error {
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(t.WriteBody(func(b []byte) error {
			_, err := w.Write(b)
			return err
		}))
	}()
	err := zkfile.ReadBody(bufio.NewReader(r), sink)
	return errors.Join(err, r.CloseWithError(err))
}

func (v *snapshotView) whole(path string, t *tree.Tree, compared int) {
	c := t.Counts()
	against := "which nothing says"
	if compared > 0 {
		against = "as it should be"
	}
	fmt.Fprintf(v.out, "%s: whole: zxid %v, %d znodes, %d sessions, digest %#x, %s\n",
		path, t.LastZxid(), c.Znodes, c.Sessions, t.Digest(), against)
}

// Session implements zkfile.Sink.
func (v *snapshotView) Session(id proto.SessionID, timeout int32) error {
	v.sessions = append(v.sessions, sessionLine{Session: id.String(), Timeout: timeout, id: int64(id)})
	return nil
}

// ACL implements zkfile.Sink.
func (v *snapshotView) ACL(number int64, encoded []byte) error {
	v.acls[number] = aclTexts(encoded)
	return nil
}

// znodeLine is a znode as JSON has it.
type znodeLine struct {
	Path string   `json:"path"`
	ACL  []string `json:"acl"`
	statFields
	content
}

// Znode implements zkfile.Sink.
func (v *snapshotView) Znode(z *zkfile.Znode) error {
	v.znodes++
	v.ephemerals[z.EphemeralOf]++
	path := cmp.Or(string(z.Path), "/")
	if v.stats {
		v.count(path, z)
		return nil
	}
	acl, ok := v.acls[z.ACL]
	switch {
	case z.ACL == -1:
		acl = []string{openACL}
	case !ok:
		acl = []string{"?"} // the list is missing: nobody may do anything
	}
	line := znodeLine{Path: path, ACL: acl, statFields: statFields{
		z.Czxid.String(), stamp(z.Ctime), z.Mzxid.String(), stamp(z.Mtime), z.Pzxid.String(),
		z.Cversion, z.Version, z.Aversion, proto.SessionID(z.EphemeralOf).String(), len(z.Data),
	}}
	if v.json {
		if v.data {
			line.content = contentOf(z.Data)
		}
		return json.NewEncoder(v.out).Encode(line)
	}
	fmt.Fprintf(v.out, "%s\n  acl = %s\n  cZxid = %s\n  ctime = %s\n  mZxid = %s\n  mtime = %s\n  pZxid = %s\n",
		oneWord(path), strings.Join(acl, ","), line.Czxid, line.Ctime, line.Mzxid, line.Mtime, line.Pzxid)
	_, err := fmt.Fprintf(v.out, "  cversion = %d\n  dataVersion = %d\n  aclVersion = %d\n  ephemeralOwner = %s\n"+
		"  dataLength = %d\n", z.Cversion, z.Version, z.Aversion, line.Owner, line.Length)
	if v.data {
		_, err = fmt.Fprintf(v.out, "  data = %s\n", base64.StdEncoding.EncodeToString(z.Data))
	}
	return err
}

// count counts a znode in its subtree.
func (v *snapshotView) count(path string, z *zkfile.Znode) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	top := "/" + strings.Join(parts[:min(len(parts), v.depth)], "/")
	s := v.subtrees[top]
	if s == nil {
		s = &subtree{Path: top}
		v.subtrees[top] = s
	}
	s.Znodes++
	if migrate.IsEphemeral(z.EphemeralOf) {
		s.Ephemerals++
	}
	s.Bytes += int64(len(z.Data))
	s.Largest = max(s.Largest, len(z.Data))
}

// end prints what comes behind the znodes.
func (v *snapshotView) end(zxid proto.Zxid, digest string) error {
	for i := range v.sessions {
		v.sessions[i].Ephemerals = v.ephemerals[v.sessions[i].id]
	}
	if v.json {
		return v.endJSON(zxid, digest)
	}
	if v.stats {
		w := tabwriter.NewWriter(v.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "SUBTREE\tZNODES\tEPHEMERALS\tBYTES\tLARGEST")
		for _, s := range v.sorted() {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", oneWord(s.Path), s.Znodes, s.Ephemerals, s.Bytes, s.Largest)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(v.out, "----\nSessions (id, timeout, ephemerals):")
		for _, s := range v.sessions {
			fmt.Fprintf(v.out, "%s, %s, %d\n", s.Session, time.Duration(s.Timeout)*time.Millisecond, s.Ephemerals)
		}
	}
	fmt.Fprintf(v.out, "----\n%d znodes, %d sessions, zxid %v", v.znodes, len(v.sessions), zxid)
	if digest != "" {
		fmt.Fprintf(v.out, ", digest %s", digest)
	}
	_, err := fmt.Fprintln(v.out)
	return err
}

func (v *snapshotView) sorted() []*subtree {
	return slices.SortedFunc(maps.Values(v.subtrees), func(a, b *subtree) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Znodes, a.Znodes), cmp.Compare(a.Path, b.Path))
	})
}

func (v *snapshotView) endJSON(zxid proto.Zxid, digest string) error {
	enc := json.NewEncoder(v.out)
	var err error
	for _, s := range v.sorted() {
		err = errors.Join(err, enc.Encode(s))
	}
	for _, s := range v.sessions {
		err = errors.Join(err, enc.Encode(s))
	}
	return errors.Join(err, enc.Encode(map[string]any{
		"znodes": v.znodes, "sessions": len(v.sessions), "zxid": zxid.String(), "digest": digest,
	}))
}
