package cnxn

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errAgain says that a socket has nothing to read, or takes no more, for now.
var errAgain = errors.New("cnxn: socket is not ready")

// errGone says that the peer has ended the connection.
var errGone = errors.New("cnxn: peer has gone")

// maxPieces is how many pieces of memory go into one system call.
const maxPieces = 64

// socket is a connected client socket that never blocks. All that cnxn wants of a
// transport goes through its methods.
type socket struct {
	fd int // of the socket
	ep int // of the epoll instance that watches it
}

// interest is what each socket is watched for. Edge-triggered: a change is told once,
// so nothing has to be asked for or taken back while a connection lives.
const interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// watch has ep report the socket; tag comes back with each report.
func (s socket) watch(tag int32) error {
	ev := unix.EpollEvent{Events: interest & 0xffffffff, Fd: int32(s.fd), Pad: tag}
	return unix.EpollCtl(s.ep, unix.EPOLL_CTL_ADD, s.fd, &ev)
}

// rearm has the socket reported once more if it is readable now.
func (s socket) rearm(tag int32) {
	ev := unix.EpollEvent{Events: interest & 0xffffffff, Fd: int32(s.fd), Pad: tag}
	_ = unix.EpollCtl(s.ep, unix.EPOLL_CTL_MOD, s.fd, &ev) // fails only for a socket that is closed
}

// read fills b as far as there is input.
func (s socket) read(b []byte) (int, error) {
	for {
		n, err := instant(unix.SYS_READ, s.fd, b)
		switch {
		case err == 0 && n > 0:
			return n, nil
		case err == 0:
			return 0, errGone
		case err == unix.EAGAIN:
			return 0, errAgain
		case err != unix.EINTR:
			return 0, err
		}
	}
}

// write sends as much of b as the socket takes.
func (s socket) write(b []byte) (int, error) {
	for {
		var n int
		var err error
		if len(b) > instantMax {
			n, err = unix.Write(s.fd, b)
		} else if m, errno := instant(unix.SYS_WRITE, s.fd, b); errno != 0 {
			err = errno
		} else {
			n = m
		}
		if err != unix.EINTR {
			return written(n, err)
		}
	}
}

// instantMax is the number of bytes whose copying keeps a processor for a few microseconds.
const instantMax = 16 << 10

// instant makes a system call that never blocks without telling the Go scheduler, which
// would be prepared to give the processor to somebody else meanwhile. That saves a tenth
// of what a small request costs the server, and a quarter where it comes alone.
func instant(call uintptr, fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

// pollNow takes the events of an epoll instance that are there, without waiting.
func pollNow(ep int, events []unix.EpollEvent) int {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep),
			uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
		switch errno {
		case 0:
			return int(n)
		case unix.EINTR:
		default:
			panic("cnxn: epoll_pwait: " + errno.Error())
		}
	}
}

// writev sends as much of the pieces as the socket takes.
func (s socket) writev(pieces [][]byte) (int, error) {
	for {
		n, err := unix.Writev(s.fd, pieces)
		if err != unix.EINTR {
			return written(n, err)
		}
	}
}

func written(n int, err error) (int, error) {
	switch err {
	case nil:
		return n, nil
	case unix.EAGAIN:
		return 0, errAgain
	}
	return 0, err
}

// endOutput tells the peer that no more will come; its own input is still read.
func (s socket) endOutput() { _ = unix.Shutdown(s.fd, unix.SHUT_WR) }

// end makes the socket readable and at its end, so that its poller closes it.
func (s socket) end() { _ = unix.Shutdown(s.fd, unix.SHUT_RDWR) }

func (s socket) close() { _ = unix.Close(s.fd) }
