package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zkd-project/zkd/daemon/proto"
)

// visitors open and close sessions from one thread: Go's own sockets would cost more than
// the server's work.
type visitors struct {
	servers []unix.Sockaddr
	domain  []int
	epoll   int
	visits  map[int32]*visit // by descriptor
	hello   []byte
	bye     []byte
	turn    int
	h       histogram
}

// visit is a session on its way.
type visit struct {
	fd     int
	began  time.Time
	asked  bool // the connection is there, and the session asked for
	opened bool
	in     [64]byte
	have   int
}

// sessions opens and closes sessions, --conns at a time.
func sessions(o options) (result, error) {
	req := proto.ConnectRequest{Timeout: sessionTimeout, Password: make([]byte, proto.PasswordLen), HasReadOnly: true}
	v := &visitors{visits: make(map[int32]*visit), hello: frame(req.Append(nil)), bye: closeReq()}
	if err := v.resolve(o.addr); err != nil {
		return result{}, err
	}
	var err error
	if v.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return result{}, err
	}
	defer func() {
		for _, one := range v.visits {
			_ = unix.Close(one.fd)
		}
		_ = unix.Close(v.epoll)
	}()
	start := time.Now()
	if err := v.run(o.conns, start.Add(o.time)); err != nil {
		return result{}, err
	}
	r := result{Ops: v.h.total, Seconds: time.Since(start).Seconds()}
	r.fill(&v.h)
	return r, nil
}

func (v *visitors) resolve(addr string) error {
	for server := range strings.SplitSeq(addr, ",") {
		a, err := net.ResolveTCPAddr("tcp", server)
		if err != nil {
			return err
		}
		if ip := a.IP.To4(); ip != nil {
			v.servers = append(v.servers, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)})
			v.domain = append(v.domain, unix.AF_INET)
			continue
		}
		v.servers = append(v.servers, &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())})
		v.domain = append(v.domain, unix.AF_INET6)
	}
	return nil
}

func (v *visitors) run(n int, deadline time.Time) error {
	for range n {
		if err := v.begin(); err != nil {
			return err
		}
	}
	events := make([]unix.EpollEvent, n)
	for len(v.visits) > 0 {
		ready, err := unix.EpollWait(v.epoll, events, 60_000)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case ready == 0:
			return fmt.Errorf("%d sessions are not answered", len(v.visits))
		}
		for _, e := range events[:ready] {
			ended, err := v.ready(v.visits[e.Fd])
			if err == nil && ended && time.Now().Before(deadline) {
				err = v.begin()
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// begin connects. No call may wait: a server whose backlog is full lets a connection wait for a second.
func (v *visitors) begin() error {
	one := &visit{began: time.Now()}
	at := v.turn % len(v.servers)
	v.turn++
	var err error
	if one.fd, err = unix.Socket(v.domain[at], unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return err
	}
	v.visits[int32(one.fd)] = one
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(one.fd)}
	switch err := unix.Connect(one.fd, v.servers[at]); {
	case err == nil:
		if err := v.ask(one); err != nil {
			return err
		}
	case errors.Is(err, unix.EINPROGRESS):
		event.Events = unix.EPOLLOUT
	default:
		return fmt.Errorf("connect: %w", err)
	}
	return unix.EpollCtl(v.epoll, unix.EPOLL_CTL_ADD, one.fd, &event)
}

// ask asks for a session.
func (v *visitors) ask(one *visit) error {
	one.asked = true
	if _, err := unix.Write(one.fd, v.hello); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// ready goes on with a visit.
func (v *visitors) ready(one *visit) (ended bool, err error) {
	if one.asked {
		return v.read(one)
	}
	if err := v.ask(one); err != nil {
		return false, err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(one.fd)}
	return false, unix.EpollCtl(v.epoll, unix.EPOLL_CTL_MOD, one.fd, &event)
}

// read takes a reply; ended says that it was the session's last.
func (v *visitors) read(one *visit) (ended bool, err error) {
	n, err := unix.Read(one.fd, one.in[one.have:])
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return false, fmt.Errorf("a session ended early: %w", err)
	}
	one.have += n
	if one.have < 4 || one.have < 4+int(binary.BigEndian.Uint32(one.in[:])) {
		return false, nil
	}
	if !one.opened {
		var res proto.ConnectResponse
		if err := res.Decode(one.in[4:one.have]); err != nil {
			return false, err
		}
		if res.Session == 0 {
			return false, errRefused
		}
		one.opened, one.have = true, 0
		_, err := unix.Write(one.fd, v.bye)
		return false, err
	}
	if code := proto.ErrCode(binary.BigEndian.Uint32(one.in[16:])); code != proto.ErrOK {
		return false, code
	}
	v.h.add(time.Since(one.began))
	delete(v.visits, int32(one.fd))
	return true, unix.Close(one.fd)
}
