package server

import (
	"runtime"
	"syscall"
)

// inBackground runs f on a thread of its own to which the kernel prefers every other one: what
// is large and has time must not keep clients waiting where processors are few. The thread ends
// with f, since a priority that was lowered cannot be raised again without a privilege.
func inBackground(f func() error) error {
	const lowest = 19
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		// Where it is forbidden f disturbs more, and that is all.
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, lowest)
		done <- f()
	}()
	return <-done
}
