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

// quota is the quota of one subtree: its limits and what the subtree holds.
type quota struct {
	limits       []byte // the text, as the limits znode has it
	count, bytes int64
	stats        bool // there is a znode to keep count and bytes in
}

// quotas knows the subtrees that have a quota, by their paths.
type quotas struct{ byPath map[string]*quota }

func newQuotas() quotas { return quotas{byPath: make(map[string]*quota)} }

// of finds the quota that applies to path: the one of the nearest ancestor, or of the
// znode itself. A quota of the root is ignored.
func (q *quotas) of(path []byte) (string, *quota) {
	if len(q.byPath) == 0 {
		return "", nil
	}
	for p := path; len(p) > 1; p = parentPath(p) {
		if found, ok := q.byPath[string(p)]; ok {
			return string(p), found
		}
	}
	return "", nil
}

// limits are the four limits of a quota; -1 is none.
type limits struct {
	count, bytes, hardCount, hardBytes int64
}

// parseLimits reads "key=value" pairs with commas or semicolons between them; ok is false
// for a text that Apache does not read either. Source: StatsTrack.java.
func parseLimits(text string) (l limits, ok bool) {
	l = limits{-1, -1, -1, -1}
	if text != "" && strings.ContainsAny(text[:1], ",;") {
		return l, false
	}
	for _, pair := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' }) {
		key, value, _ := strings.Cut(strings.TrimRight(pair, "="), "=")
		if key == strings.TrimRight(pair, "=") {
			return l, false
		}
		value, _, _ = strings.Cut(value, "=")
		n := int64(-1)
		if value != "" {
			var err error
			if n, err = strconv.ParseInt(value, 10, 64); err != nil {
				return l, false
			}
		}
		l.set(key, n)
	}
	return l, true
}

func (l *limits) set(key string, n int64) {
	switch key {
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

// checkQuota says whether the subtree of path may grow by so many znodes and bytes.
// Source: ZooKeeperServer.java, checkQuota.
func (t *Tree) checkQuota(path []byte, count, size int64) proto.ErrCode {
	if !t.opt.EnforceQuota {
		return proto.ErrOK
	}
	_, q := t.quotas.of(path)
	if q == nil {
		return proto.ErrOK
	}
	l, ok := parseLimits(string(q.limits))
	if !ok {
		return proto.ErrMarshalling
	}
	if !q.stats { // without it Apache counts nothing
		return proto.ErrOK
	}
	if count != 0 && l.hardCount > -1 && q.count+count > l.hardCount {
		return proto.ErrQuotaExceeded
	}
	if size != 0 && l.hardBytes > -1 && q.bytes+size > l.hardBytes {
		return proto.ErrQuotaExceeded
	}
	return proto.ErrOK
}

func isUnder(path []byte, top string) bool {
	return len(path) >= len(top) && string(path[:len(top)]) == top && (len(path) == len(top) || path[len(top)] == '/')
}

// quotaOwner is the path whose quota the znode at path is part of, and the part's name.
func quotaOwner(path []byte) (owner, part string, ok bool) {
	if len(path) <= len(quotaPath) || !isUnder(path, quotaPath) {
		return "", "", false
	}
	i := bytes.LastIndexByte(path, '/')
	part = string(path[i+1:])
	if part != limitsName && part != statsName {
		return "", "", false
	}
	return string(path[len(quotaPath):i]), part, true
}

// quotaCreated looks at a new znode: it may set up a quota, and counts in one.
func (t *Tree) quotaCreated(path []byte, id nodeID) {
	if owner, part, ok := quotaOwner(path); ok {
		if part == limitsName {
			t.addQuota(owner, t.dataOf(t.nodes.at(id)))
		} else if q := t.quotas.byPath[owner]; q != nil {
			q.stats = true
			t.quotaCount(owner, q)
			t.writeStats(owner, q)
		} else {
			t.statsWithoutLimits(owner)
		}
		return
	}
	t.quotaGrew(path, 1, int64(t.nodes.at(id).dataSize()))
}

// statsWithoutLimits fills in the stats znode of a subtree that has no limits (yet).
func (t *Tree) statsWithoutLimits(owner string) {
	q := new(quota)
	t.quotaCount(owner, q)
	t.writeStats(owner, q)
}

func (t *Tree) addQuota(owner string, text []byte) {
	q := &quota{limits: append([]byte(nil), text...)}
	q.stats = t.lookup([]byte(quotaPath+owner+"/"+statsName)) != none
	t.quotaCount(owner, q)
	t.quotas.byPath[owner] = q
}

func (t *Tree) quotaDeleted(path []byte, size int64) {
	if owner, part, ok := quotaOwner(path); ok {
		if q := t.quotas.byPath[owner]; q != nil && part == statsName {
			q.stats = false
		} else if part == limitsName {
			delete(t.quotas.byPath, owner)
		}
		return
	}
	t.quotaGrew(path, -1, -size)
}

func (t *Tree) quotaChanged(path, data []byte, grown int64) {
	if owner, part, ok := quotaOwner(path); ok {
		q := t.quotas.byPath[owner]
		switch {
		case q == nil:
		case part == limitsName:
			q.limits = append(q.limits[:0], data...)
		default: // a client may correct the count
			if l, ok := parseLimits(string(data)); ok {
				q.count, q.bytes = l.count, l.bytes
			}
		}
		return
	}
	t.quotaGrew(path, 0, grown)
}

// quotaGrew counts a change in the quota that path is part of.
func (t *Tree) quotaGrew(path []byte, count, size int64) {
	owner, q := t.quotas.of(path)
	if q == nil {
		return
	}
	q.count += count
	q.bytes += size
	if q.stats {
		t.writeStats(owner, q)
	}
}

// quotaCount counts a subtree from scratch.
func (t *Tree) quotaCount(owner string, q *quota) {
	q.count, q.bytes = 0, 0
	top := t.lookup([]byte(owner))
	if top == none || owner == "" {
		return
	}
	t.descend(top, func(id nodeID) {
		q.count++
		q.bytes += int64(t.nodes.at(id).dataSize())
	})
}

// writeStats writes count and bytes into the stats znode. Nothing else of the znode
// changes: no version, no zxid, and no watch fires.
func (t *Tree) writeStats(owner string, q *quota) {
	id := t.lookup([]byte(quotaPath + owner + "/" + statsName))
	if id == none {
		return
	}
	t.image.touch(t, id)
	text := "count=" + strconv.FormatInt(q.count, 10) + ",bytes=" + strconv.FormatInt(q.bytes, 10)
	t.setData(t.nodes.at(id), []byte(text))
}

// descend visits a znode and everything below it.
func (t *Tree) descend(top nodeID, visit func(nodeID)) {
	for id := top; ; {
		visit(id)
		n := t.nodes.at(id)
		if n.first != none {
			id = n.first
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
}

// VisitQuotas calls f for each quota.
func (t *Tree) VisitQuotas(f func(Quota)) {
	for path, q := range t.quotas.byPath {
		l, _ := parseLimits(string(q.limits))
		count, size := l.hardCount, l.hardBytes
		if count == -1 {
			count = l.count
		}
		if size == -1 {
			size = l.bytes
		}
		f(Quota{path, count, size, q.count, q.bytes})
	}
}
