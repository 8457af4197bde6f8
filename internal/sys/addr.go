package sys

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// A Family is the kind of a socket's addresses.
type Family uint8

const (
	// FamilyNone is the family of the zero Addr, and of sockets whose
	// addresses are of no kind listed here.
	FamilyNone Family = iota
	Inet4
	Inet6
	Unix
)

// String is "none", "inet4", "inet6" or "unix".
func (f Family) String() string {
	switch f {
	case Inet4:
		return "inet4"
	case Inet6:
		return "inet6"
	case Unix:
		return "unix"
	}
	return "none"
}

// An Addr is the address of a stream socket: IP and port, or a path. It is a
// value of 40 bytes: making one from what the kernel says allocates nothing
// for TCP and for unnamed unix sockets, which is what accepted ones are. The
// zero Addr is no address. Compare paths by Path, not by ==.
type Addr struct {
	ip     netip.Addr
	path   *string // for Unix; nil: unnamed
	port   uint16
	family Family
}

// TCPAddr is the Addr of ap. An IPv4 address in IPv6 form becomes IPv4.
func TCPAddr(ap netip.AddrPort) Addr {
	ip := ap.Addr().Unmap()
	switch {
	case ip.Is4():
		return Addr{ip: ip, port: ap.Port(), family: Inet4}
	case ip.Is6():
		return Addr{ip: ip, port: ap.Port(), family: Inet6}
	}
	return Addr{}
}

// UnixAddr is the Addr of a path; one that begins with "@" is in Linux's
// abstract namespace, and an empty one is no name.
func UnixAddr(path string) Addr {
	if path == "" {
		return Addr{family: Unix}
	}
	p := path // so that only a named address is on the heap
	return Addr{path: &p, family: Unix}
}

// Family is the family of the socket that a needs.
func (a Addr) Family() Family { return a.family }

// IsValid reports whether a is an address at all.
func (a Addr) IsValid() bool { return a.family != FamilyNone }

// AddrPort is the TCP address; the zero AddrPort for others.
func (a Addr) AddrPort() netip.AddrPort {
	if !a.ip.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.ip, a.port)
}

// Port is the TCP port, 0 for others.
func (a Addr) Port() uint16 { return a.port }

// Path is the path of a unix address, "" if it has none.
func (a Addr) Path() string {
	if a.path == nil {
		return ""
	}
	return *a.path
}

// IsWildcard reports whether a is 0.0.0.0 or [::], with any port.
func (a Addr) IsWildcard() bool { return a.ip.IsValid() && a.ip.IsUnspecified() }

// Dialable is a, with the loopback address in the place of a wildcard: what
// package net connects to when the host is empty. Linux would do the same with
// a wildcard; other systems refuse.
func (a Addr) Dialable() Addr {
	switch {
	case !a.IsWildcard():
	case a.family == Inet6:
		a.ip = netip.IPv6Loopback()
	default:
		a.ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return a
}

// NetAddr is a in package net's words, a *net.TCPAddr or a *net.UnixAddr; nil
// for the zero Addr. It allocates.
func (a Addr) NetAddr() net.Addr {
	switch a.family {
	case Inet4, Inet6:
		return net.TCPAddrFromAddrPort(a.AddrPort())
	case Unix:
		return &net.UnixAddr{Name: a.Path(), Net: "unix"}
	}
	return nil
}

// String is "127.0.0.1:80", "[::1]:80" or the path.
func (a Addr) String() string {
	switch a.family {
	case Inet4, Inet6:
		return a.AddrPort().String()
	case Unix:
		return a.Path()
	}
	return "no address"
}

// ErrHostName is what ParseAddr answers to a host that is a name: looking it
// up may take seconds and is not for here.
var ErrHostName = errors.New("the host is a name, not an IP address")

// ParseAddr reads an address as package net writes it: network "tcp", "tcp4",
// "tcp6" with "host:port", or "unix" with a path.
//
// The host is an IP address, with a zone where it is link-local ("fe80::1%lo");
// a name gives ErrHostName. An empty host is the wildcard: [::] for "tcp" if
// this system has IPv6 (a listener that leaves IPV6_V6ONLY off then takes
// IPv4 too), else 0.0.0.0. The port is a number from 0 to 65535 or a service's
// name, which is looked up in the system's list. A unix path is at most
// [MaxUnixPath] bytes; "@name" is abstract, on Linux.
//
// Other errors are those of package net: net.UnknownNetworkError,
// *net.AddrError, and *net.DNSError for a service that nobody knows.
func ParseAddr(network, address string) (Addr, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
		return parseTCP(network, address)
	case "unix":
		return parseUnix(address)
	}
	return Addr{}, net.UnknownNetworkError(network)
}

func parseTCP(network, address string) (Addr, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return Addr{}, err
	}
	ip := netip.IPv4Unspecified()
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return Addr{}, hostError(host)
		}
	} else if network == "tcp6" || network == "tcp" && hasIPv6() {
		ip = netip.IPv6Unspecified()
	}
	port, err := net.LookupPort(network, service)
	if err != nil {
		return Addr{}, err
	}
	a := TCPAddr(netip.AddrPortFrom(ip, uint16(port)))
	if network == "tcp4" && a.family != Inet4 || network == "tcp6" && a.family != Inet6 {
		return Addr{}, &net.AddrError{Err: "not an address of " + network, Addr: address}
	}
	return a, nil
}

// hostError tells a name from a mistake. A colon is in no host name, and a
// name of digits and dots only would be taken for an address by everyone else.
func hostError(host string) error {
	if strings.Contains(host, ":") || strings.Trim(host, "0123456789.") == "" {
		return &net.AddrError{Err: "not an IP address", Addr: host}
	}
	return ErrHostName
}

func parseUnix(path string) (Addr, error) {
	limit := MaxUnixPath
	if strings.HasPrefix(path, "@") {
		if !abstractNames {
			return Addr{}, &net.AddrError{Err: "abstract unix sockets are Linux's only", Addr: path}
		}
		limit++ // no byte needed for the end
	}
	switch {
	case len(path) > limit:
		return Addr{}, &net.AddrError{Err: "unix socket path too long for this system", Addr: path}
	case path == "":
		return Addr{}, &net.AddrError{Err: "empty unix socket path", Addr: path}
	case strings.ContainsRune(path, 0) && path[0] != '@':
		return Addr{}, &net.AddrError{Err: "unix socket path contains a zero byte", Addr: path}
	}
	return UnixAddr(path), nil
}

// hasIPv6 asks once whether an IPv6 socket can be bound.
var hasIPv6 = sync.OnceValue(probeIPv6)
