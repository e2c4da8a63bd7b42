package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// txnPrinter prints transactions.
type txnPrinter struct {
	out  io.Writer
	data bool
	json bool
}

// txnFields are a transaction's, as JSON has them.
type txnFields struct {
	Time           string      `json:"time,omitempty"`
	Session        string      `json:"session,omitempty"`
	Cxid           *int32      `json:"cxid,omitempty"`
	Zxid           string      `json:"zxid,omitempty"`
	Type           string      `json:"type"`
	Path           string      `json:"path,omitempty"`
	DataLength     *int        `json:"dataLength,omitempty"`
	Data           *string     `json:"data,omitempty"`
	Binary         []byte      `json:"binary,omitempty"`
	ACL            []string    `json:"acl,omitempty"`
	Ephemeral      bool        `json:"ephemeral,omitempty"`
	ParentCversion *int32      `json:"parentCversion,omitempty"`
	TTL            int64       `json:"ttl,omitempty"`
	Version        *int32      `json:"version,omitempty"`
	Timeout        *int32      `json:"timeout,omitempty"`
	Error          string      `json:"error,omitempty"`
	Paths          []string    `json:"paths,omitempty"`
	Ops            []txnFields `json:"ops,omitempty"`
	Digest         string      `json:"digest,omitempty"`
}

// print prints a transaction, as a line.
func (p *txnPrinter) print(t *proto.Txn) error {
	if p.json {
		return json.NewEncoder(p.out).Encode(p.fields(t, true))
	}
	_, err := fmt.Fprintln(p.out, p.line(t))
	return err
}

// fields takes out of a transaction what its type has.
func (p *txnPrinter) fields(t *proto.Txn, header bool) (f txnFields) {
	f.Type = t.Type.String()
	if header {
		f.Time = stamp(t.Time)
		f.Session, f.Cxid, f.Zxid = t.Session.String(), &t.Cxid, t.Zxid.String()
	}
	f.Path = string(t.Path)
	switch t.Type {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		p.content(&f, t.Data)
		f.ACL, f.Ephemeral, f.ParentCversion, f.TTL = aclTexts(t.ACL), t.Ephemeral, &t.ParentCversion, t.TTL
	case proto.OpSetData, proto.OpReconfig:
		p.content(&f, t.Data)
		f.Version = &t.Version
	case proto.OpSetACL:
		f.ACL, f.Version = aclTexts(t.ACL), &t.Version
	case proto.OpCheck:
		f.Version = &t.Version
	case proto.OpCreateSession:
		f.Timeout = &t.Timeout
	case proto.OpError:
		f.Error = t.Err.Error()
	case proto.OpCloseSession:
		for _, path := range t.Paths {
			f.Paths = append(f.Paths, string(path))
		}
	case proto.OpMulti:
		for i := range t.Ops {
			f.Ops = append(f.Ops, p.fields(&t.Ops[i], false))
		}
	}
	if t.HasDigest {
		f.Digest = "0x" + strconv.FormatUint(t.Digest, 16)
	}
	return f
}

// content fills in data: its length and, if asked for, itself; null data have none.
func (p *txnPrinter) content(f *txnFields, data []byte) {
	if data == nil {
		return
	}
	length := len(data)
	f.DataLength = &length
	switch {
	case !p.data:
	case utf8.Valid(data):
		text := string(data)
		f.Data = &text
	default:
		f.Binary = data
	}
}

// line is a transaction in one line.
func (p *txnPrinter) line(t *proto.Txn) string {
	f := p.fields(t, true)
	var b strings.Builder
	fmt.Fprintf(&b, "%s session %s cxid 0x%x zxid %s %s", f.Time, f.Session, uint32(t.Cxid), f.Zxid, f.Type)
	f.append(&b)
	if f.Digest != "" {
		b.WriteString(" digest=" + f.Digest)
	}
	return b.String()
}

// append appends the fields behind the header.
func (f *txnFields) append(b *strings.Builder) {
	add := func(name string, value any) { fmt.Fprintf(b, " %s=%v", name, value) }
	if f.Path != "" {
		add("path", oneWord(f.Path))
	}
	switch {
	case f.Data != nil:
		add("data", strconv.Quote(*f.Data))
	case f.Binary != nil:
		add("data", strconv.Quote(string(f.Binary)))
	case f.DataLength != nil:
		add("dataLength", *f.DataLength)
	}
	if f.ACL != nil {
		add("acl", strings.Join(f.ACL, ","))
	}
	if f.Ephemeral {
		add("ephemeral", true)
	}
	for i, n := range []*int32{f.Version, f.Timeout, f.ParentCversion} {
		if n != nil {
			add([]string{"version", "timeout", "parentCversion"}[i], *n)
		}
	}
	if f.TTL != 0 {
		add("ttl", f.TTL)
	}
	if f.Error != "" {
		add("error", strconv.Quote(f.Error))
	}
	for _, path := range f.Paths {
		add("path", oneWord(path))
	}
	for i := range f.Ops {
		b.WriteString("; " + f.Ops[i].Type)
		f.Ops[i].append(b)
	}
}

// oneWord keeps a path that would break the line, or its fields, from doing so.
func oneWord(path string) string {
	if quoted := strconv.Quote(path); quoted != `"`+path+`"` || strings.ContainsRune(path, ' ') {
		return quoted
	}
	return path
}

// stamp is a time in the server's files.
func stamp(ms proto.Millis) string {
	return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02T15:04:05.000Z")
}

// aclTexts are the entries of an encoded list as scheme:id:permissions.
func aclTexts(encoded []byte) []string {
	d := jute.NewDecoder(encoded)
	list, _ := proto.DecodeACLs(&d)
	if d.Err() != nil {
		return []string{"?"}
	}
	texts := []string{}
	for _, a := range list {
		texts = append(texts, a.ID.Scheme+":"+a.ID.ID+":"+perms(a.Perms))
	}
	return texts
}
