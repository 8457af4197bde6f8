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
	if c.flags&(flagIPv4|flagIPv6) != 0 {
		return net.TCPAddrFromAddrPort(c.peer())
	}
	return c.tr.remoteAddr()
}

// setPeer remembers the address of the peer: the kernel forgets it when the
// connection is reset. A netip.Addr would take 8 bytes more of each idle Conn:
// the family is in its flags, and the zone, if there is one, in the rare state.
func (c *Conn) setPeer(a netip.AddrPort) {
	ip := a.Addr()
	c.peerIP, c.peerPort = ip.As16(), a.Port()
	c.flags &^= flagIPv4 | flagIPv6
	switch {
	case ip.Is4():
		c.flags |= flagIPv4
	case ip.Is6():
		c.flags |= flagIPv6
	}
	if z := ip.Zone(); z != "" || c.rare != nil {
		c.ensureRare().zone = z
	}
}

// peer is the address that setPeer remembered, if it did.
func (c *Conn) peer() netip.AddrPort {
	ip := netip.AddrFrom16(c.peerIP)
	switch {
	case c.flags&flagIPv4 != 0:
		ip = ip.Unmap()
	case c.rare != nil:
		ip = ip.WithZone(c.rare.zone)
	}
	return netip.AddrPortFrom(ip, c.peerPort)
}
