package tree

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// SetWatches registers the watches of a client that has reconnected. Where the client
// missed what it watched for, the event goes out at once, as a whole frame with zxid -1.
// Source: DataTree.java, setWatches.
func (t *Tree) SetWatches(c *Caller, req *proto.Request, out *proto.Out) proto.ErrCode {
	lists := req.WatchLists()
	visits := [5]func(path []byte){
		func(p []byte) { t.rewatchData(c, req.Relative, p, out) },
		func(p []byte) { t.rewatchExist(c, p, out) },
		func(p []byte) { t.rewatchChild(c, req.Relative, p, out) },
		func(p []byte) { t.watches.add(p, c.Watcher, watchPersistent) },
		func(p []byte) { t.watches.add(p, c.Watcher, watchRecursive) },
	}
	for i := range req.NumLists() {
		if lists.Next(visits[i]) != nil {
			return proto.ErrMarshalling
		}
	}
	return proto.ErrOK
}

func (t *Tree) rewatchData(c *Caller, since proto.Zxid, path []byte, out *proto.Out) {
	switch id := t.lookup(path); {
	case id == none:
		out.Event(-1, proto.EventNodeDeleted, path)
	case t.mzxid(t.nodes.at(id)) > since:
		out.Event(-1, proto.EventNodeDataChanged, path)
	default:
		t.watches.add(path, c.Watcher, watchData)
	}
}

func (t *Tree) mzxid(n *node) proto.Zxid {
	var z full
	t.load(n, &z)
	return z.mzxid
}

func (t *Tree) rewatchExist(c *Caller, path []byte, out *proto.Out) {
	if t.lookup(path) != none {
		out.Event(-1, proto.EventNodeCreated, path)
		return
	}
	t.watches.add(path, c.Watcher, watchData)
}

func (t *Tree) rewatchChild(c *Caller, since proto.Zxid, path []byte, out *proto.Out) {
	switch id := t.lookup(path); {
	case id == none:
		out.Event(-1, proto.EventNodeDeleted, path)
	case t.family(t.nodes.at(id)).pzxid > since:
		out.Event(-1, proto.EventNodeChildrenChanged, path)
	default:
		t.watches.add(path, c.Watcher, watchChild)
	}
}

// addWatch registers a persistent watch; the znode need not exist.
func (t *Tree) addWatch(c *Caller, req *proto.Request) proto.ErrCode {
	switch req.Mode {
	case proto.AddWatchPersistent:
		t.watches.add(req.Path, c.Watcher, watchPersistent)
	case proto.AddWatchPersistentRecursive:
		t.watches.add(req.Path, c.Watcher, watchRecursive)
	default:
		return proto.ErrMarshalling
	}
	return proto.ErrOK
}

// modesOf are the modes that the type argument of checkWatches and removeWatches means,
// none for an unknown one. Source: Watcher.java, WatcherType; DataTree.java.
func modesOf(watcherType int32) watchModes {
	switch watcherType {
	case proto.WatcherChildren:
		return watchChild
	case proto.WatcherData:
		return watchData
	case proto.WatcherPersistent:
		return watchPersistent
	case proto.WatcherPersistentRecursive:
		return watchRecursive
	case proto.WatcherAny:
		return allModes
	}
	return 0
}

// checkWatches says whether the caller has such a watch.
func (t *Tree) checkWatches(c *Caller, req *proto.Request) proto.ErrCode {
	modes := modesOf(req.Mode)
	switch {
	case modes == 0:
		return proto.ErrMarshalling
	case !t.watches.has(req.Path, c.Watcher, modes):
		return proto.ErrNoWatcher
	}
	return proto.ErrOK
}

// removeWatches removes the caller's watches of a type.
func (t *Tree) removeWatches(c *Caller, req *proto.Request) proto.ErrCode {
	modes := modesOf(req.Mode)
	switch {
	case modes == 0:
		return proto.ErrMarshalling
	case !t.watches.strip(req.Path, c.Watcher, modes):
		return proto.ErrNoWatcher
	}
	return proto.ErrOK
}
