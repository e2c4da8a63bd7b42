package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Pages says which pages a place serves.
type Pages struct {
	Metrics  bool   // /metrics
	Runtime  bool   // /metrics tells of the Go runtime, too
	Health   bool   // /livez and /readyz
	Commands string // path in front of the commands' names, "" for none; Apache's is /commands
}

// Handler serves pages.
func (w *Words) Handler(p Pages) http.Handler {
	mux := http.NewServeMux()
	if p.Metrics {
		mux.Handle("GET /metrics", w.scrape(p.Runtime))
	}
	if p.Health {
		mux.HandleFunc("GET /livez", w.live)
		mux.HandleFunc("GET /readyz", w.ready)
	}
	if base := strings.TrimSuffix(p.Commands, "/"); base != "" {
		index := func(out http.ResponseWriter, _ *http.Request) { list(out, base) }
		mux.HandleFunc("GET "+base, index)
		mux.HandleFunc("GET "+base+"/{$}", index)
		mux.HandleFunc("GET "+base+"/{name}", w.command)
		mux.HandleFunc("POST "+base+"/{name}", w.command)
	}
	return mux
}

// live tells whether the process is to be restarted.
func (w *Words) live(out http.ResponseWriter, _ *http.Request) {
	if err := w.backend.Alive(); err != nil {
		http.Error(out, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(out, "ok")
}

// ready tells whether clients should be sent here.
func (w *Words) ready(out http.ResponseWriter, _ *http.Request) {
	if err := w.backend.Alive(); err != nil {
		http.Error(out, err.Error(), http.StatusServiceUnavailable)
		return
	}
	s := w.status()
	if !s.Serving || !s.Welcomes {
		http.Error(out, Mode(&s)+": "+notServing, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(out, Mode(&s))
}

// list shows the commands' names. Source: JettyAdminServer.java, commandLinks.
func list(out http.ResponseWriter, base string) {
	var names []string
	for i := range commands {
		names = append(names, commands[i].names[0])
	}
	slices.Sort(names)
	out.Header().Set("Content-Type", "text/html;charset=utf-8")
	for _, name := range names {
		fmt.Fprintf(out, "<a href=\"%s/%s\">%s</a>\n<br/>\n", base, name, name)
	}
}

func (w *Words) command(out http.ResponseWriter, r *http.Request) {
	c, post := find(r.PathValue("name")), r.Method == http.MethodPost
	switch {
	case c != nil && c.post != post:
		want := "GET"
		if c.post {
			want = "POST"
		}
		out.Header().Set("Allow", want)
		answer(out, http.StatusMethodNotAllowed, c.names[0], "this command takes "+want+" only")
		return
	case c != nil && c.serve != nil:
		c.serve(w, out, r)
		return
	}
	b, err := json.MarshalIndent(w.Command(r.PathValue("name"), r.URL.Query()), "", "  ")
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	out.Header().Set("Content-Type", "application/json")
	_, _ = out.Write(append(b, '\n')) // a client that has gone is its own business
}
