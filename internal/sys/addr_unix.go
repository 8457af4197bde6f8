//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"net"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// MaxUnixPath is the longest path of a unix socket, in bytes: the kernel's
// field less one for the zero byte at its end.
const MaxUnixPath = len(unix.RawSockaddrUnix{}.Path) - 1

// sockaddr is a in the form that x/sys takes. It allocates: only for bind and
// connect.
func (a Addr) sockaddr() (unix.Sockaddr, error) {
	switch a.family {
	case Inet4:
		return &unix.SockaddrInet4{Port: int(a.port), Addr: a.ip.As4()}, nil
	case Inet6:
		return &unix.SockaddrInet6{Port: int(a.port), Addr: a.ip.As16(), ZoneId: zones.id(a.ip.Zone())}, nil
	case Unix:
		return &unix.SockaddrUnix{Name: a.Path()}, nil
	}
	return nil, unix.EAFNOSUPPORT
}

// fromIPv6 is the Addr of what the kernel says about an IPv6 socket.
func fromIPv6(ip [16]byte, port uint16, zone uint32) Addr {
	addr := netip.AddrFrom16(ip)
	if zone != 0 && !addr.Is4In6() {
		addr = addr.WithZone(zones.name(zone))
	}
	return TCPAddr(netip.AddrPortFrom(addr, port))
}

// zoneNames remembers the names of interfaces: asking the kernel takes several
// calls, and a link-local client would cost them at every accept. A renamed
// interface keeps the name it had, which still leads to it by number only.
type zoneNames struct {
	mu    sync.Mutex
	names map[uint32]string
}

var zones zoneNames

// name is the interface's name, or its number in decimal where it has none.
func (z *zoneNames) name(id uint32) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	if name, ok := z.names[id]; ok {
		return name
	}
	ifi, err := net.InterfaceByIndex(int(id))
	if err != nil {
		return strconv.FormatUint(uint64(id), 10) // not kept: it may appear later
	}
	if z.names == nil {
		z.names = make(map[uint32]string)
	}
	z.names[id] = ifi.Name
	return ifi.Name
}

// id is the number of the zone named by a name or a number, 0 for none and
// for one that does not exist.
func (z *zoneNames) id(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// probeIPv6 binds a socket to the IPv6 loopback, as package net does: a
// kernel may have the family and no address of it.
func probeIPv6() bool {
	fd, err := socket(unix.AF_INET6, unix.SOCK_STREAM)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0) != nil {
		return false
	}
	return unix.Bind(fd, &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}) == nil
}
