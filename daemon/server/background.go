package server

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// inBackground runs f on a thread of its own to which the kernel prefers every other one: what
// is large and has time must not keep clients waiting where processors are few. The thread ends
// with f, since a priority that was lowered cannot be raised again without a privilege.
func inBackground(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		yieldToAll()
		done <- f()
	}()
	return <-done
}

// yieldToAll gives the calling thread the lowest priority, and from Linux 6.12 on slices of a
// thirtieth of the usual time: a thread may end its slice, whatever its priority, though another one that
// sleeps most of the time wakes up. Where it is forbidden f disturbs more, and that is all.
func yieldToAll() {
	const lowest, slice = 19, 100_000
	if unix.SchedSetAttr(0, &unix.SchedAttr{Nice: lowest, Runtime: slice}, 0) != nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, lowest)
	}
}
