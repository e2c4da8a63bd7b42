package client

import (
	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// CreateOptions say what kind of znode Create makes.
type CreateOptions struct {
	ACL   []proto.ACL // nil lets everybody do everything
	Flags int32       // one of proto.FlagPersistent…
	TTL   int64       // milliseconds, with the TTL flags
}

// Create makes a znode and returns its path, to which a number may have been added.
func (c *Client) Create(path string, data []byte, o CreateOptions) (string, error) {
	if o.ACL == nil {
		o.ACL = proto.OpenACLUnsafe
	}
	b := jute.AppendBuffer(jute.AppendString(nil, path), data)
	b = jute.AppendInt(proto.AppendACLs(b, o.ACL), o.Flags)
	op := proto.OpCreate
	switch o.Flags {
	case proto.FlagContainer:
		op = proto.OpCreateContainer
	case proto.FlagTTL, proto.FlagPersistentSequentialTTL:
		op = proto.OpCreateTTL
		b = jute.AppendLong(b, o.TTL)
	}
	d, err := c.Do(op, b)
	return string(d.Buffer()), err
}

// Get returns a znode's data, nil for null, and its Stat.
func (c *Client) Get(path string) ([]byte, proto.Stat, error) {
	d, err := c.Do(proto.OpGetData, jute.AppendBool(jute.AppendString(nil, path), c.Watch))
	if err != nil {
		return nil, proto.Stat{}, err
	}
	return d.Buffer(), proto.DecodeStat(&d), d.Err()
}

// Stat returns a znode's Stat.
func (c *Client) Stat(path string) (proto.Stat, error) {
	return c.stat(proto.OpExists, jute.AppendBool(jute.AppendString(nil, path), c.Watch))
}

// Set replaces a znode's data; version -1 is any.
func (c *Client) Set(path string, data []byte, version int32) (proto.Stat, error) {
	b := jute.AppendBuffer(jute.AppendString(nil, path), data)
	return c.stat(proto.OpSetData, jute.AppendInt(b, version))
}

func (c *Client) stat(op proto.Op, body []byte) (proto.Stat, error) {
	d, err := c.Do(op, body)
	if err != nil {
		return proto.Stat{}, err
	}
	return proto.DecodeStat(&d), d.Err()
}

// Delete removes a znode without children; version -1 is any.
func (c *Client) Delete(path string, version int32) error {
	_, err := c.Do(proto.OpDelete, jute.AppendInt(jute.AppendString(nil, path), version))
	return err
}

// DeleteAll removes znodes in one transaction, in the order given: all of them or none.
func (c *Client) DeleteAll(paths []string) error {
	var b []byte
	for _, p := range paths {
		b = appendMultiHead(b, int32(proto.OpDelete), false)
		b = jute.AppendInt(jute.AppendString(b, p), -1)
	}
	d, err := c.Do(proto.OpMulti, appendMultiHead(b, -1, true))
	if err != nil {
		return err
	}
	for range paths {
		typ, _, _ := d.Int(), d.Bool(), d.Int()
		if typ != -1 { // a success has no body
			continue
		}
		code := proto.ErrCode(d.Int())
		if code != proto.ErrOK && code != proto.ErrRuntimeInconsistency { // the latter: another one failed
			return code
		}
	}
	return d.Err()
}

func appendMultiHead(b []byte, typ int32, done bool) []byte {
	return jute.AppendInt(jute.AppendBool(jute.AppendInt(b, typ), done), -1)
}

// Children returns the names of a znode's children and its Stat.
func (c *Client) Children(path string) ([]string, proto.Stat, error) {
	d, err := c.Do(proto.OpGetChildren2, jute.AppendBool(jute.AppendString(nil, path), c.Watch))
	if err != nil {
		return nil, proto.Stat{}, err
	}
	return names(&d), proto.DecodeStat(&d), d.Err()
}

func names(d *jute.Decoder) []string {
	list := make([]string, 0, max(d.Count(4), 0))
	for range cap(list) {
		list = append(list, string(d.Buffer()))
	}
	return list
}

// ACL returns who may do what with a znode.
func (c *Client) ACL(path string) ([]proto.ACL, proto.Stat, error) {
	d, err := c.Do(proto.OpGetACL, jute.AppendString(nil, path))
	if err != nil {
		return nil, proto.Stat{}, err
	}
	acls, _ := proto.DecodeACLs(&d)
	return acls, proto.DecodeStat(&d), d.Err()
}

// SetACL says who may do what with a znode; version -1 is any.
func (c *Client) SetACL(path string, acls []proto.ACL, version int32) (proto.Stat, error) {
	b := proto.AppendACLs(jute.AppendString(nil, path), acls)
	return c.stat(proto.OpSetACL, jute.AppendInt(b, version))
}

// Sync waits until the server has everything that was committed when it was called.
func (c *Client) Sync(path string) error {
	_, err := c.Do(proto.OpSync, jute.AppendString(nil, path))
	return err
}

// CountBelow is the number of a znode's descendants.
func (c *Client) CountBelow(path string) (int32, error) {
	d, err := c.Do(proto.OpGetAllChildrenNumber, jute.AppendString(nil, path))
	return d.Int(), err
}

// Ephemerals are the paths of the session's ephemeral znodes below a prefix.
func (c *Client) Ephemerals(prefix string) ([]string, error) {
	d, err := c.Do(proto.OpGetEphemerals, jute.AppendString(nil, prefix))
	if err != nil {
		return nil, err
	}
	return names(&d), d.Err()
}

// AddWatch sets a persistent watch, of a whole subtree if recursive is set.
func (c *Client) AddWatch(path string, recursive bool) error {
	mode := int32(0)
	if recursive {
		mode = 1
	}
	_, err := c.Do(proto.OpAddWatch, jute.AppendInt(jute.AppendString(nil, path), mode))
	return err
}

// WatchKind is a kind of watch that can be removed. Source: Watcher.java, WatcherType.
type WatchKind int32

// The kinds of watches.
const (
	WatchChildren            WatchKind = 1
	WatchData                WatchKind = 2
	WatchAny                 WatchKind = 3
	WatchPersistent          WatchKind = 4
	WatchPersistentRecursive WatchKind = 5
)

// RemoveWatches removes the session's watches of a kind.
func (c *Client) RemoveWatches(path string, kind WatchKind) error {
	_, err := c.Do(proto.OpRemoveWatches, jute.AppendInt(jute.AppendString(nil, path), int32(kind)))
	return err
}

// Reconfig is a change of the ensemble: either Members, or Joining and Leaving. What is
// empty is not sent.
type Reconfig struct {
	Joining, Leaving, Members string
	From                      int64 // version that the configuration must have; -1 is any
}

// Reconfig changes the ensemble, and returns its new configuration.
func (c *Client) Reconfig(r Reconfig) ([]byte, proto.Stat, error) {
	var b []byte
	for _, text := range []string{r.Joining, r.Leaving, r.Members} {
		if text == "" {
			b = jute.AppendBuffer(b, nil)
		} else {
			b = jute.AppendString(b, text)
		}
	}
	d, err := c.Do(proto.OpReconfig, jute.AppendLong(b, r.From))
	if err != nil {
		return nil, proto.Stat{}, err
	}
	return d.Buffer(), proto.DecodeStat(&d), d.Err()
}

// Auth proves who the client is.
func (c *Client) Auth(scheme, data string) error {
	_, err := c.Do(proto.OpAuth, jute.AppendString(jute.AppendString(jute.AppendInt(nil, 0), scheme), data))
	return err
}

// WhoAmI returns the identities of the connection; their ids are user names.
func (c *Client) WhoAmI() ([]proto.ID, error) {
	d, err := c.Do(proto.OpWhoAmI, nil)
	if err != nil {
		return nil, err
	}
	var ids []proto.ID
	for range d.Count(8) {
		ids = append(ids, proto.ID{Scheme: string(d.Buffer()), ID: string(d.Buffer())})
	}
	return ids, d.Err()
}
