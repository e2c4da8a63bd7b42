package cnxn

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptMax is how many connections are accepted before open ones have their turn.
const acceptMax = 64

// listener is one listening socket. The first poller accepts from it: a goroutine of its
// own, parked in the Go runtime's poller, would wait for up to 10 ms whenever the others
// keep all processors busy, because nobody looks into that poller then.
type listener struct {
	addr net.Addr

	mu     sync.Mutex
	fd     int
	ep     int // that watches it
	closed bool
	failed bool // there were no descriptors, or no memory, for another connection
}

// newListener takes over the socket of ln, which may be closed afterwards.
func newListener(ln *net.TCPListener, backlog int) (*listener, error) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &listener{addr: ln.Addr(), fd: -1}
	var dup error
	err = raw.Control(func(fd uintptr) {
		if backlog > 0 {
			dup = unix.Listen(int(fd), backlog)
		}
		if dup == nil {
			l.fd, dup = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	return l, errors.Join(err, dup)
}

// watch has ep report connections that wait to be accepted. Like sockets, it is
// edge-triggered: calling it again has them reported once more.
func (l *listener) watch(ep int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	op := unix.EPOLL_CTL_ADD
	if l.ep != 0 {
		op = unix.EPOLL_CTL_MOD
	}
	l.ep = ep
	ev := unix.EpollEvent{Events: (unix.EPOLLIN | unix.EPOLLET) & 0xffffffff, Fd: int32(l.fd)}
	_ = unix.EpollCtl(ep, op, l.fd, &ev) // cannot fail for a socket that is open
}

func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		_ = unix.Close(l.fd)
	}
}

// accept takes on what waits at a listener, and says whether more may wait.
func (p *Ports) accept(l *listener) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range acceptMax {
		if l.closed {
			return false
		}
		fd, peer, err := acceptOne(l.fd)
		switch err {
		case nil:
			l.failed = false
			p.take(fd, peer)
		case unix.EAGAIN:
			return false
		case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.EPERM:
		default:
			if !l.failed {
				p.opts.Log.WithError(err).Warn("Cannot accept client connections; trying again")
			}
			l.failed = true
			return false
		}
	}
	return true
}

// retry has a listener looked at again that could not accept.
func (l *listener) retry() {
	l.mu.Lock()
	failed, ep := l.failed, l.ep
	l.mu.Unlock()
	if failed {
		l.watch(ep)
	}
}

// acceptOne takes one connection from a listening socket. It uses package syscall, whose
// Accept4 makes one system call; that of x/sys asks for the socket's protocol as well.
func acceptOne(fd int) (int, netip.AddrPort, error) {
	nfd, sa, err := syscall.Accept4(fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		return nfd, netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *syscall.SockaddrInet6:
		return nfd, netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), nil
	}
	return nfd, netip.AddrPort{}, nil
}

// setListening gives a listening socket the options that accepted ones inherit.
func setListening(fd int, keepAlive time.Duration) error {
	set := func(level, opt, v int) error { return unix.SetsockoptInt(fd, level, opt, v) }
	idle := max(int(keepAlive/time.Second), 1)
	return errors.Join(
		set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		set(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, idle),
		set(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, max(idle/4, 1)),
		set(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4),
	)
}
