package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// deafen has the kernel drop all that arrives at a socket before TCP sees it,
// acknowledgements included: to its peer it is a machine that is gone. A filter
// that lets no byte pass does it. Some kernels ask a privilege for that: there
// it takes only packets that were sent with the highest TTL and have not passed
// a router, and nobody sends such. Source: socket(7), SO_ATTACH_FILTER; RFC 5082,
// IP_MINTTL.
func deafen(fd int) error {
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
	if err == unix.EPERM {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, 255)
	}
	if err == unix.ENOPROTOOPT { // not a socket of IPv6
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MINTTL, 255)
	}
	return os.NewSyscallError("setsockopt", err)
}
