package transport

import (
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// watch has the kernel end a connection of the election over which nothing comes through any
// more: an address may be dead while another one of the same server is alive, and votes would
// wait for it. Connections of the quorum port need no such thing, their ends ping each other.
func watch(conn net.Conn, limit time.Duration) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return errors.New("transport: not a connection of TCP")
	}
	probe := net.KeepAliveConfig{Enable: true, Idle: limit, Interval: time.Second, Count: 3}
	if err := tcp.SetKeepAliveConfig(probe); err != nil {
		return err
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
	return errors.Join(err, failed)
}
