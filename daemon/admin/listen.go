package admin

import (
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

// headerTime is how long a request's header may take.
const headerTime = 5 * time.Second

// ErrSocket says that a local socket belongs to somebody else.
var ErrSocket = errors.New("socket in use")

// Port is a place where pages are served.
type Port struct {
	Network string // "unix" or "tcp"
	Address string
	Pages   Pages
	Idle    time.Duration // after which an unused connection is closed
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
		s := &http.Server{
			Handler: w.Handler(port.Pages), IdleTimeout: port.Idle, ReadHeaderTimeout: headerTime,
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
