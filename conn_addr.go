package bev

import (
	"net"
	"net/netip"
)

// LocalAddr returns the address of this end, nil if there is none or the Conn
// is closed. It asks the kernel. Loop only.
func (c *Conn) LocalAddr() net.Addr {
	c.loop.assertOwner("Conn.LocalAddr")
	return c.tr.localAddr()
}

// RemoteAddr returns the address of the peer, nil if there is none. For TCP it
// is known for the whole life of the Conn and after it. Loop only.
func (c *Conn) RemoteAddr() net.Addr {
	c.loop.assertOwner("Conn.RemoteAddr")
	if c.peerKind != peerNone {
		return net.TCPAddrFromAddrPort(c.peer())
	}
	return c.tr.remoteAddr()
}

// peerKind says what Conn.peerIP holds. A netip.Addr would know by itself, and
// take 8 bytes more of each idle Conn.
type peerKind uint8

const (
	peerNone peerKind = iota // nothing
	peerIPv4                 // an IPv4 address, in the form of IPv6
	peerIPv6                 // an IPv6 address; its zone, if it has one, is in rareState
)

// setPeer remembers the address of the peer: the kernel forgets it when the
// connection is reset.
func (c *Conn) setPeer(a netip.AddrPort) {
	ip := a.Addr()
	c.peerIP, c.peerPort = ip.As16(), a.Port()
	switch {
	case !ip.IsValid():
		c.peerKind = peerNone
	case ip.Is4():
		c.peerKind = peerIPv4
	default:
		c.peerKind = peerIPv6
	}
	if z := ip.Zone(); z != "" || c.rare != nil {
		c.ensureRare().zone = z
	}
}

// peer is the address that setPeer remembered; peerKind is not peerNone.
func (c *Conn) peer() netip.AddrPort {
	ip := netip.AddrFrom16(c.peerIP)
	switch {
	case c.peerKind == peerIPv4:
		ip = ip.Unmap()
	case c.rare != nil:
		ip = ip.WithZone(c.rare.zone)
	}
	return netip.AddrPortFrom(ip, c.peerPort)
}
