package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// deafen has the kernel drop all that arrives at a socket before TCP sees it,
// acknowledgements included: to its peer it is a machine that is gone. A filter
// that lets no byte pass does it. Source: socket(7), SO_ATTACH_FILTER.
func deafen(fd int) error {
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: 1, Filter: &nothing}))
}
