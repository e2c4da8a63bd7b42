package store

import (
	"errors"
	"sync"
	"syscall"
)

var (
	// ErrNoSpace says that the disk is full: nothing was acknowledged, and the same call
	// succeeds once there is space.
	ErrNoSpace = errors.New("store: no space left on the device")
	// ErrDoubtful says that it is unknown what is on the disk. The process must end; the
	// next start finds out.
	ErrDoubtful = errors.New("store: the disk failed, and what it holds is in doubt")
	// ErrDamaged says that the files do not hold what was written to them.
	ErrDamaged = errors.New("store: damaged")
	// ErrForeign says that the directory belongs to something else, or to a newer version.
	ErrForeign = errors.New("store: not a directory of this version of zkd")
	// ErrNotEmpty says that the directory holds data that would have to go.
	ErrNotEmpty = errors.New("store: there are data already")
	// ErrReplaced says that the image is giving way to one that a leader sent.
	ErrReplaced = errors.New("store: the image is being replaced")
	// ErrInUse says that another process has the directory.
	ErrInUse = errors.New("store: the data directory is in use")
)

// advised is an error with what to do about it.
type advised struct {
	error
	advice string
}

// Error tells both.
func (a advised) Error() string { return a.error.Error() + "; " + a.advice }

// Unwrap gives the error alone.
func (a advised) Unwrap() error { return a.error }

// Cause is an error without the advice that a server on its own needs.
func Cause(err error) error {
	var a advised
	if errors.As(err, &a) {
		return a.error
	}
	return err
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// sticky keeps the first error of a kind after which nothing may be trusted.
type sticky struct {
	mu  sync.Mutex
	err error
}

func (s *sticky) set(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = errors.Join(ErrDoubtful, err)
	}
	return s.err
}

func (s *sticky) get() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
