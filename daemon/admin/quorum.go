package admin

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
)

func (w *Words) sessionsDump(o *object, _ url.Values) error {
	now := w.backend.Now()
	expiry, paths := make(map[string][]int64), make(map[string][]string)
	w.backend.Ask(func(r *replica.Replica) {
		r.VisitSessions(func(s replica.Session) {
			if s.Expiry == 0 {
				return
			}
			ms := strconv.FormatInt(int64(now.Wall+s.Expiry-now.Mono), 10)
			expiry[ms] = append(expiry[ms], int64(s.ID))
		})
		r.Tree().VisitEphemerals(func(s proto.SessionID, _ int) {
			id := strconv.FormatInt(int64(s), 10)
			r.Tree().EphemeralsOf(s, func(path []byte) { paths[id] = append(paths[id], string(path)) })
		})
	})
	o.put("expiry_time_to_session_ids", expiry)
	o.put("session_id_to_ephemeral_paths", paths)
	return nil
}

func (w *Words) watches(o *object, _ url.Values) error {
	paths := make(map[string][]string)
	w.watched(func(path string, sessions []proto.SessionID) {
		for _, s := range sessions {
			id := strconv.FormatInt(int64(s), 10)
			paths[id] = append(paths[id], path)
		}
	})
	o.put("session_id_to_watched_paths", paths)
	return nil
}

func (w *Words) watchesByPathCommand(o *object, _ url.Values) error {
	ids := make(map[string][]int64)
	w.watched(func(path string, sessions []proto.SessionID) {
		for _, s := range sessions {
			ids[path] = append(ids[path], int64(s))
		}
	})
	o.put("path_to_session_ids", ids)
	return nil
}

var errSolo = errors.New("server is not initialized") // Apache's text for a server on its own

func (w *Words) leader(o *object, _ url.Values) error {
	i, s := w.backend.Info(), w.status()
	if i.Ensemble == nil {
		return errSolo
	}
	o.put("is_leader", s.Role == proto.Leading)
	o.put("leader_id", s.Quorum.Leader)
	for k := range i.Ensemble.Members {
		if m := &i.Ensemble.Members[k]; m.ID == s.Quorum.Leader {
			o.put("leader_ip", m.Addresses[0].Host)
		}
	}
	return nil
}

// uncounted stands for what Apache counts for each observer, and zkd does not.
const uncounted = -1

func (w *Words) observers(o *object, _ url.Values) error {
	list := []object{}
	s, links := w.status(), w.backend.Learners()
	for _, l := range s.Quorum.Learners {
		if !l.Observer || !l.Synced {
			continue
		}
		link := links[l.ID]
		list = append(list, object{
			{"remote_socket_address", "/" + link.Addr}, {"sid", l.ID}, {"established", link.Since},
			{"queued_packets", uncounted}, {"queued_packets_size", link.Queued}, {"packets_received", uncounted},
			{"packets_sent", uncounted}, {"requests", uncounted}, {"last_zxid", int64(l.Acked)},
		})
	}
	o.put("synced_observers", len(list))
	o.put("observers", list)
	return nil
}

func (w *Words) votingView(o *object, _ url.Values) error {
	view := make(map[string]object)
	if c := w.backend.Info().Ensemble; c != nil {
		for k := range c.Members {
			if m := &c.Members[k]; !m.Observer {
				quorum, election := addresses(m)
				view[strconv.FormatInt(m.ID, 10)] = object{
					{"server_addresses", quorum}, {"election_addresses", election}, {"client_address", m.Client},
					{"learner_type", "participant"},
				}
			}
		}
	}
	o.put("current_config", view)
	return nil
}

func addresses(m *ensemble.Member) (quorum, election []string) {
	for _, a := range m.Addresses {
		quorum = append(quorum, net.JoinHostPort(a.Host, strconv.Itoa(a.Quorum)))
		election = append(election, net.JoinHostPort(a.Host, strconv.Itoa(a.Election)))
	}
	return quorum, election
}

// addressSet is how Apache's commands show a server's addresses. Those of the server itself
// count as reachable.
func addressSet(list []string) object {
	var hosts, wild []string
	var ports []int
	for _, a := range list {
		host, port, err := net.SplitHostPort(a)
		if n, bad := strconv.Atoi(port); err == nil && bad == nil {
			hosts, ports = append(hosts, host), append(ports, n)
			wild = append(wild, net.JoinHostPort("0.0.0.0", port))
		}
	}
	one := ""
	if len(list) > 0 {
		one = list[0]
	}
	return object{
		{"empty", len(list) == 0}, {"all_addresses", list}, {"wildcard_addresses", wild}, {"all_ports", ports},
		{"all_host_strings", hosts}, {"reachable_address", one}, {"all_reachable_addresses", list},
		{"all_reachable_addresses_or_all", list}, {"reachable_or_one", one}, {"one", one},
	}
}

func (w *Words) zabState(o *object, _ url.Values) error {
	i, s := w.backend.Info(), w.status()
	m := i.member()
	if m == nil || s.Solo {
		o.put("voting", false)
		o.put("zabstate", "")
		return nil
	}
	quorum, election := addresses(m)
	o.put("myid", i.ServerID)
	o.put("is_leader", s.Role == proto.Leading)
	o.put("quorum_address", addressSet(quorum))
	o.put("election_address", addressSet(election))
	if m.Client == "" {
		o.put("client_address", nil)
	} else {
		o.put("client_address", m.Client)
	}
	o.put("voting", !m.Observer)
	o.put("last_zxid", fmt.Sprint(s.Zxid))
	o.put("zab_epoch", s.Zxid.Epoch())
	o.put("zab_counter", int64(s.Zxid)&0xffffffff)
	state := "broadcast"
	switch {
	case s.Role == proto.Looking:
		state = "election"
	case !s.Serving:
		state = "synchronization"
	}
	o.put("zabstate", state)
	return nil
}
