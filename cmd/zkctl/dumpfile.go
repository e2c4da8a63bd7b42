package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/zkd-project/zkd/daemon/migrate"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// fileDump writes a dump of what a snapshot has. It is a zkfile.Sink.
type fileDump struct {
	enc  *json.Encoder
	top  string // without a / at its end
	acls map[int64][]string

	found bool
	left  int // ephemeral znodes
}

// dumpFile dumps a subtree of a snapshot file, or of zkd's data if from leads to a directory.
func dumpFile(out, notes io.Writer, from store.Options, top string) error {
	st, err := os.Stat(from.ImageDir)
	if err != nil {
		return err
	}
	var t *tree.Tree
	if st.IsDir() {
		found, err := store.HasData(from)
		if err == nil && !found {
			err = fmt.Errorf("%s holds no data of zkd's; of Apache's, give one file, snapshot.ZXID", from.ImageDir)
		}
		if err != nil {
			return err
		}
		if t, err = migrate.Load(from, treeOptions()); err != nil {
			return err
		}
	} else {
		s, err := migrate.ReadSnapshot(from.ImageDir, treeOptions())
		if err != nil {
			return err
		}
		for _, n := range s.Notes {
			fmt.Fprintln(notes, "note:", n)
		}
		t = s.Tree
	}
	d := &fileDump{enc: json.NewEncoder(out), top: strings.TrimSuffix(top, "/"), acls: make(map[int64][]string)}
	d.enc.SetEscapeHTML(false)
	if err := passTo(d, t); err != nil {
		return err
	}
	if d.left > 0 {
		fmt.Fprintf(notes, "%s left out\n", counted(d.left, "ephemeral znode"))
	}
	if !d.found && d.top != "" {
		return &pathError{top, proto.ErrNoNode}
	}
	return nil
}

// Session implements zkfile.Sink.
func (d *fileDump) Session(proto.SessionID, int32) error { return nil }

// ACL implements zkfile.Sink.
func (d *fileDump) ACL(number int64, encoded []byte) error {
	d.acls[number] = aclTexts(encoded)
	return nil
}

// Znode implements zkfile.Sink.
func (d *fileDump) Znode(z *zkfile.Znode) error {
	path := string(z.Path)
	if path != d.top && !strings.HasPrefix(path, d.top+"/") {
		return nil
	}
	d.found = true
	if path == "" || path == "/" || path == "/zookeeper" || strings.HasPrefix(path, "/zookeeper/") {
		return nil
	}
	if migrate.IsEphemeral(z.EphemeralOf) {
		d.left++
		return nil
	}
	acl := []string{openACL}
	if z.ACL != -1 {
		var ok bool
		if acl, ok = d.acls[z.ACL]; !ok {
			return fmt.Errorf("%s: the snapshot lacks its ACL", path)
		}
	}
	n := dumpedOf(path, z.Data, acl)
	switch ttl, isTTL := migrate.TTL(z.EphemeralOf); {
	case isTTL:
		n.Mode, n.TTL = modeTTL, ttl
	case z.EphemeralOf != 0:
		n.Mode = modeContainer
	}
	return d.enc.Encode(n)
}
