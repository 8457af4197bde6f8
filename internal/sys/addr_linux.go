package sys

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// abstractNames says that unix sockets need not have a file.
const abstractNames = true

// fromRaw is the Addr in the n bytes that the kernel wrote to raw. It is here
// and not left to x/sys, whose Sockaddr values are on the heap.
func fromRaw(raw *unix.RawSockaddrAny, n uint32) Addr {
	switch raw.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return TCPAddr(netip.AddrPortFrom(netip.AddrFrom4(in.Addr), bigEndian(&in.Port)))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(raw))
		return fromIPv6(in.Addr, bigEndian(&in.Port), in.Scope_id)
	case unix.AF_UNIX:
		return fromRawUnix((*unix.RawSockaddrUnix)(unsafe.Pointer(raw)), n)
	}
	return Addr{}
}

// bigEndian reads a port, which is in network order whatever the machine's.
func bigEndian(port *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// fromRawUnix reads a path: the length alone tells an unnamed socket from an
// abstract one, whose name may hold zero bytes (unix(7)).
func fromRawUnix(raw *unix.RawSockaddrUnix, n uint32) Addr {
	n = min(n, unix.SizeofSockaddrUnix) - uint32(unsafe.Offsetof(raw.Path))
	if n == 0 || n > unix.SizeofSockaddrUnix {
		return Addr{family: Unix}
	}
	path := unsafe.Slice((*byte)(unsafe.Pointer(&raw.Path[0])), n)
	if path[0] == 0 {
		return UnixAddr("@" + string(path[1:]))
	}
	for i, c := range path {
		if c == 0 {
			path = path[:i]
			break
		}
	}
	return UnixAddr(string(path))
}
