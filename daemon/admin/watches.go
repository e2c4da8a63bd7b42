package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
)

func (w *Words) watchSummary(b *strings.Builder, _ []byte) {
	w.backend.Ask(func(r *replica.Replica) {
		conns, paths, total := r.Tree().WatchSummary()
		fmt.Fprintf(b, "%d connections watching %d paths\nTotal watches:%d\n", conns, paths, total)
	})
}

func (w *Words) watchesByConn(b *strings.Builder, _ []byte) {
	paths := make(map[proto.SessionID][]string)
	w.watched(func(path string, sessions []proto.SessionID) {
		for _, s := range sessions {
			paths[s] = append(paths[s], path)
		}
	})
	for _, s := range sortedKeys(paths) {
		slices.Sort(paths[s])
		fmt.Fprintf(b, "%v\n\t%s\n", s, strings.Join(paths[s], "\n\t"))
	}
	b.WriteByte('\n')
}

func (w *Words) watchesByPath(b *strings.Builder, _ []byte) {
	watchers := make(map[string][]proto.SessionID)
	w.watched(func(path string, sessions []proto.SessionID) { watchers[path] = sessions })
	for _, path := range sortedKeys(watchers) {
		b.WriteString(path + "\n")
		slices.Sort(watchers[path])
		for _, s := range watchers[path] {
			fmt.Fprintf(b, "\t%v\n", s)
		}
	}
	b.WriteByte('\n')
}

// watched calls f for each watched path with the sessions that watch it.
func (w *Words) watched(f func(path string, sessions []proto.SessionID)) {
	w.backend.Ask(func(r *replica.Replica) {
		r.Tree().Watched(func(path string, watchers []tree.WatcherID) {
			var sessions []proto.SessionID
			for _, id := range watchers {
				if c := r.ConnOf(uint32(id)); c != nil {
					sessions = append(sessions, c.Session())
				}
			}
			f(path, sessions)
		})
	})
}

func sortedKeys[K ~string | ~int64, V any](m map[K]V) []K {
	list := make([]K, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
