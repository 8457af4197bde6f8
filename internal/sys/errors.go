package sys

import (
	"errors"
	"os"
	"syscall"
)

// The outcomes that are not failures. Compare with ==: they are never wrapped
// here. errors.Is with the syscall.Errno works too.
var (
	// ErrAgain says that the call would block: wait for readiness.
	ErrAgain error = &sentinel{"would block", syscall.EAGAIN}
	// ErrInProgress says that a connect goes on in the background: when the
	// descriptor is writable, SocketError tells how it ended.
	ErrInProgress error = &sentinel{"connect in progress", syscall.EINPROGRESS}
)

// sentinel is an outcome with the errno that stands for it. It is not the
// errno itself, because EAGAIN's Timeout method says true, and a call that
// would block must not look like a deadline that passed.
type sentinel struct {
	text  string
	errno syscall.Errno
}

func (e *sentinel) Error() string   { return e.text }
func (e *sentinel) Is(t error) bool { return t == e.errno }

// failed turns an errno into the error that the conventions ask for. Kept out
// of line: the callers' ordinary path stays small.
//
//go:noinline
func failed(op Op, errno syscall.Errno) error {
	switch errno {
	case 0:
		return nil
	case syscall.EAGAIN:
		return ErrAgain
	case syscall.EINPROGRESS:
		return ErrInProgress
	}
	return &os.SyscallError{Syscall: op.String(), Err: errno}
}

// failure is failed for calls that return an error.
func failure(op Op, err error) error {
	if err == nil {
		return nil
	}
	if errno, ok := err.(syscall.Errno); ok {
		return failed(op, errno)
	}
	return &os.SyscallError{Syscall: op.String(), Err: err}
}

// unsupported is what a call answers that this system does not have.
func unsupported(op Op) error {
	return &os.SyscallError{Syscall: op.String(), Err: errors.ErrUnsupported}
}
