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

// quotas knows the subtrees that have limits: their paths, and the limits' text. What a
// subtree holds is kept in its stats znode and nowhere else.
type quotas struct{ byPath map[string]string }

func newQuotas() quotas { return quotas{byPath: make(map[string]string)} }

// of finds the limits that apply to path: those of the nearest ancestor, or of the znode
// itself. A quota of the root is ignored.
func (q *quotas) of(path []byte) (owner, limits string, ok bool) {
	if len(q.byPath) == 0 {
		return "", "", false
	}
	for p := path; len(p) > 1; p = parentPath(p) {
		if limits, ok := q.byPath[string(p)]; ok {
			return string(p), limits, true
		}
	}
	return "", "", false
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
	owner, text, ok := t.quotas.of(path)
	if !ok {
		return proto.ErrOK
	}
	l, ok := parseLimits(text)
	if !ok {
		return proto.ErrMarshalling
	}
	counts := count != 0 && (l.count > -1 || l.hardCount > -1)
	weighs := size != 0 && (l.bytes > -1 || l.hardBytes > -1)
	stats := t.lookup(statsPath(owner))
	if (!counts && !weighs) || stats == none {
		return proto.ErrOK
	}
	used, ok := parseLimits(quotaText(t.dataOf(t.nodes.at(stats))))
	switch {
	case !ok:
		return proto.ErrMarshalling
	case counts && l.hardCount > -1 && used.count+count > l.hardCount,
		weighs && l.hardBytes > -1 && used.bytes+size > l.hardBytes:
		return proto.ErrQuotaExceeded
	}
	return proto.ErrOK
}

// quotaText is the text of a quota's znode. Apache cannot read one without data, which
// is not the same as one whose text is empty.
func quotaText(data []byte) string {
	if data == nil {
		return "no data"
	}
	return string(data)
}

func statsPath(owner string) []byte { return []byte(quotaPath + owner + "/" + statsName) }

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
	owner, part, ok := quotaOwner(path)
	switch {
	case !ok:
		t.quotaGrew(path, 1, int64(t.nodes.at(id).dataSize()))
	case part == limitsName:
		t.quotas.byPath[owner] = quotaText(t.dataOf(t.nodes.at(id)))
	default:
		t.recount(owner, id)
	}
}

func (t *Tree) quotaDeleted(path []byte, size int64) {
	owner, part, ok := quotaOwner(path)
	switch {
	case !ok:
		t.quotaGrew(path, -1, -size)
	case part == limitsName:
		delete(t.quotas.byPath, owner)
	}
}

func (t *Tree) quotaChanged(path, data []byte, grown int64) {
	owner, part, ok := quotaOwner(path)
	switch {
	case !ok:
		t.quotaGrew(path, 0, grown)
	case part == limitsName:
		t.quotas.byPath[owner] = quotaText(data)
	}
}

// quotaGrew counts a change in the quota that path is part of.
func (t *Tree) quotaGrew(path []byte, count, size int64) {
	owner, _, ok := t.quotas.of(path)
	if !ok {
		return
	}
	stats := t.lookup(statsPath(owner))
	if stats == none {
		return
	}
	if used, ok := parseLimits(quotaText(t.dataOf(t.nodes.at(stats)))); ok {
		t.writeStats(stats, used.count+count, used.bytes+size)
	}
}

// recount counts a subtree from scratch.
func (t *Tree) recount(owner string, stats nodeID) {
	var count, size int64
	if top := t.lookup([]byte(owner)); top != none && owner != "" {
		t.descend(top, func(id nodeID) {
			count++
			size += int64(t.nodes.at(id).dataSize())
		})
	}
	t.writeStats(stats, count, size)
}

// writeStats writes count and bytes into a stats znode. Nothing else of the znode
// changes: no version, no zxid, and no watch fires.
func (t *Tree) writeStats(id nodeID, count, size int64) {
	t.image.touch(t, id)
	text := "count=" + strconv.FormatInt(count, 10) + ",bytes=" + strconv.FormatInt(size, 10)
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
	for path, text := range t.quotas.byPath {
		l, _ := parseLimits(text)
		q := Quota{Path: path, CountLimit: l.hardCount, BytesLimit: l.hardBytes}
		if q.CountLimit == -1 {
			q.CountLimit = l.count
		}
		if q.BytesLimit == -1 {
			q.BytesLimit = l.bytes
		}
		if stats := t.lookup(statsPath(path)); stats != none {
			used, _ := parseLimits(quotaText(t.dataOf(t.nodes.at(stats))))
			q.CountUsed, q.BytesUsed = used.count, used.bytes
		}
		f(q)
	}
}
