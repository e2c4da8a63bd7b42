package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

const (
	headerTime = 5 * time.Second // that a request's header may take
	maxConns   = 128             // connections of a port at a time; others wait to be accepted
)

// ErrSocket says that a local socket belongs to somebody else.
var ErrSocket = errors.New("socket in use")

// Port is a place where pages are served.
type Port struct {
	Network string // "unix" or "tcp"
	Address string
	Pages   Pages
	Idle    time.Duration // after which an unused connection is closed
	Stall   time.Duration // that a client may take for a request's body, or for an answer; default 30 s
}

// Ports serves pages in several places.
type Ports struct {
	servers []*http.Server
	running sync.WaitGroup
}

// Listen serves pages. A place that cannot be listened on is no reason to stop the server:
// it gets a warning.
func (w *Words) Listen(ports []Port, log logrus.FieldLogger) *Ports {
	p := new(Ports)
	for _, port := range ports {
		log := log.WithFields(logrus.Fields{"network": port.Network, "address": port.Address})
		l, err := listen(port)
		if err != nil {
			log.WithError(err).Warn("The operations page is not served here; the server goes on without it")
			continue
		}
		l = &limited{Listener: l, room: make(chan struct{}, maxConns), closed: make(chan struct{})}
		s := &http.Server{
			Handler:     hurried(w.Handler(port.Pages), cmp.Or(port.Stall, stallTime)),
			IdleTimeout: port.Idle, ReadHeaderTimeout: headerTime,
		}
		p.servers = append(p.servers, s)
		p.running.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				log.WithError(err).Warn("The operations page is served no more")
			}
		})
		log.WithField("address", l.Addr().String()).Info("Serving the operations page")
	}
	return p
}

// Close ends the serving, and lets what is under way finish for a moment.
func (p *Ports) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range p.servers {
		if s.Shutdown(ctx) != nil {
			_ = s.Close() // what did not finish in time is cut off
		}
	}
	p.running.Wait()
}

// hurried keeps clients from holding a connection for ever by sending no body, or reading no answer.
func hurried(pages http.Handler, stall time.Duration) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		c, end := http.NewResponseController(out), time.Now().Add(stall)
		err := c.SetWriteDeadline(end)
		if err == nil && r.ContentLength != 0 {
			err = c.SetReadDeadline(end)
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the connection is gone
		}
		pages.ServeHTTP(out, r)
	})
}

// limited is a listener with a bounded number of connections.
type limited struct {
	net.Listener
	room   chan struct{} // has an element for each connection
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &counted{Conn: c, leave: func() { <-l.room }}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// counted is a connection of a limited listener.
type counted struct {
	net.Conn
	leave func()
	once  sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.once.Do(c.leave)
	return c.Conn.Close()
}

// CloseWrite has package http end its output before it closes, as it does where a request is not read to its end.
func (c *counted) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

func listen(port Port) (net.Listener, error) {
	if port.Network != "unix" {
		return net.Listen(port.Network, port.Address)
	}
	return listenUnix(port.Address)
}

// listenUnix makes the socket for local use, by the server's user and its group. One that a
// process left behind is replaced, one that a process listens on is not.
func listenUnix(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("%w: a process listens at %s; set admin.socket to another path", ErrSocket, path)
	} else if errors.Is(err, unix.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// Made under another name, so that nobody can connect before the mode is right.
	fresh := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d", filepath.Base(path), os.Getpid()))
	l, err := net.Listen("unix", fresh)
	if err != nil {
		return nil, err
	}
	u := l.(*net.UnixListener)
	u.SetUnlinkOnClose(false)
	const ownerAndGroup = 0o660
	if err := errors.Join(os.Chmod(fresh, ownerAndGroup), os.Rename(fresh, path)); err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(fresh))
	}
	return &localListener{u, path}, nil
}

// localListener removes its socket's name in the end.
type localListener struct {
	*net.UnixListener
	path string
}

// Addr implements net.Listener.
func (l *localListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close implements net.Listener.
func (l *localListener) Close() error {
	return errors.Join(os.Remove(l.path), l.UnixListener.Close())
}
