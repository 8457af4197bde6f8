package bev

import (
	"net/netip"
	"testing"
)

// Every form of address comes back as it was given, whatever was there before.
func TestPeerIsRemembered(t *testing.T) {
	var c Conn
	for i, s := range []string{"127.0.0.1", "fe80::1%eth0", "fe80::1%lo", "::1", "::ffff:10.0.0.1", "0.0.0.0", "::"} {
		want := netip.AddrPortFrom(netip.MustParseAddr(s), uint16(i))
		c.setPeer(want)
		if got := c.peer(); got != want {
			t.Errorf("%v is kept as %v", want, got)
		}
	}
	if c.setPeer(netip.AddrPort{}); c.flags != 0 {
		t.Error("no address is kept as one")
	}
}
