package tree

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
)

// The znodes of a quota. Source: Quotas.java.
const (
	limitsName = "zookeeper_limits"
	statsName  = "zookeeper_stats"
)

// quota is the quota of one subtree. What the subtree holds is kept in a znode's data,
// where clients can change it; used is what that says.
type quota struct {
	limits limits
	stats  nodeID // none if there is no such znode
	used   limits // the first two
	// The texts can be read.
	limitsOK, usedOK bool
	refused          int64 // requests, which only who prepares them counts
}

// quotas knows the subtrees that have limits, by their paths.
type quotas struct {
	byPath map[string]*quota
	text   []byte // scratch
}

func newQuotas() quotas { return quotas{byPath: make(map[string]*quota)} }

// of finds the quota that applies to path: the one of the nearest ancestor, or of the
// znode itself.
func (q *quotas) of(path []byte) *quota {
	if len(q.byPath) == 0 {
		return nil
	}
	for p := path; len(p) > 1; p = parentPath(p) {
		if found, ok := q.byPath[string(p)]; ok {
			return found
		}
	}
	return nil
}

// limits are the four limits of a quota; -1 is none.
type limits struct {
	count, bytes, hardCount, hardBytes int64
}

// parseLimits reads "key=value" pairs with commas or semicolons between them. A missing
// key is no limit. ok is false for what Apache does not read either: no data is not the
// same as an empty text. Source: StatsTrack.java.
func parseLimits(data []byte) (l limits, ok bool) {
	l = limits{-1, -1, -1, -1}
	text := string(data)
	if data == nil || text != "" && strings.ContainsAny(text[:1], ",;") {
		return l, false
	}
	for _, pair := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' }) {
		fields := strings.Split(strings.TrimRight(pair, "="), "=")
		if len(fields) < 2 {
			return l, false
		}
		n := int64(-1)
		if fields[1] != "" {
			var err error
			if n, err = strconv.ParseInt(fields[1], 10, 64); err != nil {
				return l, false
			}
		}
		switch fields[0] {
		case "count":
			l.count = n
		case "bytes":
			l.bytes = n
		case "countHardLimit":
			l.hardCount = n
		case "byteHardLimit":
			l.hardBytes = n
		}
	}
	return l, true
}

// checkQuota says whether the subtree of path may grow by so many znodes and bytes. What
// is promised but not applied does not count yet. Source: ZooKeeperServer.java, checkQuota.
func (t *Tree) checkQuota(path []byte, count, size int64) proto.ErrCode {
	if !t.opt.EnforceQuota {
		return proto.ErrOK
	}
	q := t.quotas.of(path)
	if q == nil {
		return proto.ErrOK
	}
	l := &q.limits
	counts := count != 0 && (l.count > -1 || l.hardCount > -1)
	weighs := size != 0 && (l.bytes > -1 || l.hardBytes > -1)
	switch {
	case !q.limitsOK:
		return proto.ErrMarshalling
	case !counts && !weighs, q.stats == none:
		return proto.ErrOK
	case !q.usedOK:
		return proto.ErrMarshalling
	case counts && l.hardCount > -1 && q.used.count+count > l.hardCount,
		weighs && l.hardBytes > -1 && q.used.bytes+size > l.hardBytes:
		q.refused++
		return proto.ErrQuotaExceeded
	}
	return proto.ErrOK
}

// quotaOwner is the path whose quota the znode at path is part of, and the part's name.
// A quota of the root is ignored.
func quotaOwner(path []byte) (owner, part []byte) {
	if len(path) <= len(quotaPath)+1 || string(path[:len(quotaPath)]) != quotaPath || path[len(quotaPath)] != '/' {
		return nil, nil
	}
	i := bytes.LastIndexByte(path, '/')
	part = path[i+1:]
	if i == len(quotaPath) || (string(part) != limitsName && string(part) != statsName) {
		return nil, nil
	}
	return path[len(quotaPath):i], part
}

// quotaCreated looks at a new znode: it may set up a quota, and counts in one.
func (t *Tree) quotaCreated(path []byte, id nodeID, size int64) {
	switch owner, part := quotaOwner(path); {
	case owner == nil:
	case string(part) == limitsName:
		t.limit(owner, t.dataOf(t.nodes.at(id)))
	default:
		q := t.quotas.byPath[string(owner)]
		if q == nil {
			q = new(quota) // without limits its znode is filled in once
		}
		q.stats, q.usedOK = id, true
		q.used.count, q.used.bytes = t.sizes(owner)
		t.writeStats(q)
	}
	t.quotaGrew(path, 1, size)
}

// limit sets up the quota of a subtree.
func (t *Tree) limit(owner, text []byte) {
	q := &quota{stats: t.lookup([]byte(quotaPath + string(owner) + "/" + statsName))}
	q.limits, q.limitsOK = parseLimits(text)
	if q.stats != none {
		q.used, q.usedOK = parseLimits(t.dataOf(t.nodes.at(q.stats)))
	}
	t.quotas.byPath[string(owner)] = q
}

func (t *Tree) quotaDeleted(path []byte, size int64) {
	if owner, part := quotaOwner(path); owner != nil {
		if q := t.quotas.byPath[string(owner)]; q != nil && string(part) == statsName {
			q.stats, q.used, q.usedOK = none, limits{}, false
		} else if q != nil {
			delete(t.quotas.byPath, string(owner))
		}
	}
	t.quotaGrew(path, -1, -size)
}

func (t *Tree) quotaChanged(path, data []byte, grown int64) {
	if owner, part := quotaOwner(path); owner != nil {
		if q := t.quotas.byPath[string(owner)]; q != nil && string(part) == statsName {
			q.used, q.usedOK = parseLimits(data)
		} else if q != nil {
			q.limits, q.limitsOK = parseLimits(data)
		}
	}
	t.quotaGrew(path, 0, grown)
}

// quotaGrew counts a change in the quota that path is part of.
func (t *Tree) quotaGrew(path []byte, count, size int64) {
	if q := t.quotas.of(path); q != nil && q.usedOK {
		q.used.count += count
		q.used.bytes += size
		t.writeStats(q)
	}
}

// sizes counts the znodes and the bytes of a subtree.
func (t *Tree) sizes(top []byte) (count, size int64) {
	var z full
	if id := t.lookup(top); id != none {
		t.descend(id, func(id nodeID) {
			count++
			t.load(t.nodes.at(id), &z)
			size += int64(len(z.data))
		})
	}
	return count, size
}

// writeStats writes count and bytes into the stats znode. Nothing else of the znode
// changes: no version, no zxid, and no watch fires.
func (t *Tree) writeStats(q *quota) {
	if q.stats == none {
		return
	}
	t.image.touch(t, q.stats)
	b := strconv.AppendInt(append(t.quotas.text[:0], "count="...), q.used.count, 10)
	b = strconv.AppendInt(append(b, ",bytes="...), q.used.bytes, 10)
	t.quotas.text = b
	n := t.nodes.at(q.stats)
	var z full
	t.load(n, &z)
	t.dataBytes += int64(len(b) - len(z.data))
	t.change(n, &z.history, b)
}

// descend visits a znode and everything below it.
func (t *Tree) descend(top nodeID, visit func(nodeID)) {
	for id := top; ; {
		visit(id)
		if first := t.family(t.nodes.at(id)).first; first != none {
			id = first
			continue
		}
		for id != top && t.nodes.at(id).next == none {
			id = t.nodes.at(id).parent
		}
		if id == top {
			return
		}
		id = t.nodes.at(id).next
	}
}

// Quota is one subtree's quota as metrics show it. A limit of -1 is none.
type Quota struct {
	Path                 string
	CountLimit           int64
	BytesLimit           int64
	CountUsed, BytesUsed int64
	Refused              int64 // requests that this server has refused
}

// VisitQuotas calls f for each quota.
func (t *Tree) VisitQuotas(f func(Quota)) {
	for path, q := range t.quotas.byPath {
		count, size := q.limits.hardCount, q.limits.hardBytes
		if count == -1 {
			count = q.limits.count
		}
		if size == -1 {
			size = q.limits.bytes
		}
		f(Quota{path, count, size, q.used.count, q.used.bytes, q.refused})
	}
}
