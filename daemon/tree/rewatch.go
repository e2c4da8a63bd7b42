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
		func(p []byte) { t.watchPersistent(c, p) },
		func(p []byte) { t.watches.data.add(p, c.Watcher, watchRecursive) },
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
	case t.nodes.at(id).mzxid > since:
		out.Event(-1, proto.EventNodeDataChanged, path)
	default:
		t.watches.data.add(path, c.Watcher, watchStandard)
	}
}

func (t *Tree) rewatchExist(c *Caller, path []byte, out *proto.Out) {
	if t.lookup(path) != none {
		out.Event(-1, proto.EventNodeCreated, path)
		return
	}
	t.watches.data.add(path, c.Watcher, watchStandard)
}

func (t *Tree) rewatchChild(c *Caller, since proto.Zxid, path []byte, out *proto.Out) {
	switch id := t.lookup(path); {
	case id == none:
		out.Event(-1, proto.EventNodeDeleted, path)
	case t.nodes.at(id).pzxid > since:
		out.Event(-1, proto.EventNodeChildrenChanged, path)
	default:
		t.watches.child.add(path, c.Watcher, watchStandard)
	}
}

func (t *Tree) watchPersistent(c *Caller, path []byte) {
	t.watches.data.add(path, c.Watcher, watchPersistent)
	t.watches.child.add(path, c.Watcher, watchPersistent)
}

// addWatch registers a persistent watch; the znode need not exist.
func (t *Tree) addWatch(c *Caller, req *proto.Request) proto.ErrCode {
	switch req.Mode {
	case proto.AddWatchPersistent:
		t.watchPersistent(c, req.Path)
	case proto.AddWatchPersistentRecursive:
		t.watches.data.add(req.Path, c.Watcher, watchRecursive)
	default:
		return proto.ErrMarshalling
	}
	return proto.ErrOK
}

const anyMode = watchStandard | watchPersistent | watchRecursive

// checkWatches says whether the caller has such a watch.
func (t *Tree) checkWatches(c *Caller, req *proto.Request) proto.ErrCode {
	w := &t.watches
	var found bool
	switch req.Mode {
	case proto.WatcherChildren:
		found = w.child.has(req.Path, c.Watcher, watchStandard)
	case proto.WatcherData:
		found = w.data.has(req.Path, c.Watcher, watchStandard)
	case proto.WatcherPersistent:
		found = w.data.has(req.Path, c.Watcher, watchPersistent)
	case proto.WatcherPersistentRecursive:
		found = w.data.has(req.Path, c.Watcher, watchRecursive)
	case proto.WatcherAny:
		found = w.data.has(req.Path, c.Watcher, anyMode) || w.child.has(req.Path, c.Watcher, anyMode)
	default:
		return proto.ErrMarshalling
	}
	if !found {
		return proto.ErrNoWatcher
	}
	return proto.ErrOK
}

// removeWatches removes the caller's watches of a type.
func (t *Tree) removeWatches(c *Caller, req *proto.Request) proto.ErrCode {
	w, data, child := &t.watches, false, false
	switch req.Mode {
	case proto.WatcherChildren:
		child = w.child.remove(req.Path, c.Watcher, watchStandard)
	case proto.WatcherData:
		data = w.data.remove(req.Path, c.Watcher, watchStandard)
	case proto.WatcherPersistent:
		data = w.data.remove(req.Path, c.Watcher, watchPersistent)
		child = w.child.remove(req.Path, c.Watcher, watchPersistent)
	case proto.WatcherPersistentRecursive:
		data = w.data.remove(req.Path, c.Watcher, watchRecursive)
	case proto.WatcherAny:
		data = w.data.remove(req.Path, c.Watcher, anyMode)
		child = w.child.remove(req.Path, c.Watcher, anyMode)
	default:
		return proto.ErrMarshalling
	}
	if !data && !child {
		return proto.ErrNoWatcher
	}
	return proto.ErrOK
}
