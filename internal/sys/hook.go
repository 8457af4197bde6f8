package sys

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// An Op names a kernel call. The names are those of Linux; a system that does
// the same work by another call reports it under the same Op, so that a test
// of faults is not written twice.
type Op uint8

const (
	OpRead Op = iota + 1
	OpReadv
	OpWrite
	OpWritev
	OpSendfile
	OpSplice
	OpPipe
	OpSocket
	OpBind
	OpListen
	OpAccept
	OpConnect
	OpShutdown
	OpClose
	OpGetsockname
	OpGetpeername
	OpGetsockopt
	OpSetsockopt
	OpFcntl
	OpFstat
	OpEpollCreate // also kqueue
	OpEventfd     // also what makes any other waker
	OpEpollCtl    // also the kevent that changes what is watched
	OpEpollWait   // also the kevent that collects events
	OpEpollTurn   // EpollTurn
	OpYield       // Yield
	OpWake        // the write, or kevent, that wakes a poller
	opCount
)

var opNames = [opCount]string{
	OpRead: "read", OpReadv: "readv", OpWrite: "write", OpWritev: "writev",
	OpSendfile: "sendfile", OpSplice: "splice", OpPipe: "pipe2",
	OpSocket: "socket", OpBind: "bind", OpListen: "listen",
	OpAccept: "accept", OpConnect: "connect", OpShutdown: "shutdown",
	OpClose: "close", OpGetsockname: "getsockname", OpGetpeername: "getpeername",
	OpGetsockopt: "getsockopt", OpSetsockopt: "setsockopt",
	OpFcntl: "fcntl", OpFstat: "fstat",
	OpEpollCreate: pollCreateName, OpEventfd: "eventfd", OpEpollCtl: pollCtlName,
	OpEpollWait: pollWaitName, OpEpollTurn: "epoll_ctl, turning", OpYield: "sched_yield", OpWake: "wake",
}

// String is the name of the call, as errors carry it.
func (op Op) String() string {
	if int(op) < len(opNames) && opNames[op] != "" {
		return opNames[op]
	}
	return fmt.Sprintf("Op(%d)", uint8(op))
}

// A Hook stands between bev and the kernel in tests. It is called before
// every call, with the descriptor (-1 where there is none yet) and the size:
// bytes for calls that move bytes, events for OpEpollWait, else 0.
//
// limit cuts the size down; size or more, or a negative number, leaves it
// alone. A limit of 0 for a call that moves bytes answers 0 bytes without
// asking the kernel, which for a read is the end of the stream.
//
// An err that is not nil is what the call returns, and the kernel is not
// asked: a syscall.Errno is treated as if the kernel had said it (EINTR calls
// the hook again, EAGAIN becomes ErrAgain, others are wrapped), anything else
// is passed on as it is. Only OpClose reaches the kernel all the same, so
// that faults do not leak descriptors.
//
// The hook may be called from several goroutines at once, and must not call
// this package.
type Hook func(op Op, fd int, size int) (limit int, err error)

// hook is nil outside tests: what faults cost is one load of this pointer.
var hook atomic.Pointer[Hook]

// SetHook installs h for the whole process and returns what puts the old one
// back. nil removes it. For tests only. Safe from any goroutine.
func SetHook(h Hook) (restore func()) {
	var p *Hook
	if h != nil {
		p = &h
	}
	old := hook.Swap(p)
	return func() { hook.Store(old) }
}

// hooked reports whether ask has anyone to ask.
func hooked() bool { return hook.Load() != nil }

// ask asks the hook about a call. It returns the size that the call may have,
// or the error that it ends with.
func ask(op Op, fd, size int) (int, error) {
	for {
		h := hook.Load()
		if h == nil {
			return size, nil
		}
		limit, err := (*h)(op, fd, size)
		if err == nil {
			if limit < 0 || limit > size {
				limit = size
			}
			return limit, nil
		}
		errno, ok := err.(syscall.Errno)
		if !ok {
			return 0, err
		}
		if errno != syscall.EINTR {
			return 0, failed(op, errno)
		}
	}
}

// retry asks the hook, then calls f until it is not interrupted, and wraps
// what it returns. It is for the calls that are not on the path of a byte;
// those are in transfer.
func retry(op Op, fd int, f func() error) error {
	if hooked() {
		if _, err := ask(op, fd, 0); err != nil {
			return err
		}
	}
	for {
		err := f()
		if err == nil {
			return nil
		}
		if err != syscall.EINTR {
			return failure(op, err)
		}
	}
}
