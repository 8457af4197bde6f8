package sys

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"unsafe"
)

func TestParseAddr(t *testing.T) {
	wildcard := "0.0.0.0:0"
	if hasIPv6() {
		wildcard = "[::]:0"
	}
	for _, tc := range []struct {
		network, address string
		want             string
		family           Family
	}{
		{"tcp", "192.0.2.1:80", "192.0.2.1:80", Inet4},
		{"tcp4", "192.0.2.1:80", "192.0.2.1:80", Inet4},
		{"tcp", "[2001:db8::1]:80", "[2001:db8::1]:80", Inet6},
		{"tcp6", "[2001:db8::1]:80", "[2001:db8::1]:80", Inet6},
		{"tcp", "[fe80::1%9]:80", "[fe80::1%9]:80", Inet6},
		{"tcp", "[::ffff:192.0.2.1]:80", "192.0.2.1:80", Inet4},
		{"tcp", ":0", wildcard, 0},
		{"tcp4", ":0", "0.0.0.0:0", Inet4},
		{"tcp6", ":0", "[::]:0", Inet6},
		{"tcp", "0.0.0.0:0", "0.0.0.0:0", Inet4},
		{"tcp", "192.0.2.1:0", "192.0.2.1:0", Inet4},
		{"tcp", "192.0.2.1:", "192.0.2.1:0", Inet4}, // as package net
		{"tcp", "192.0.2.1:65535", "192.0.2.1:65535", Inet4},
		{"tcp", "192.0.2.1:http", "192.0.2.1:80", Inet4},
		{"unix", "/run/x", "/run/x", Unix},
		{"unix", "x", "x", Unix},
		{"unix", strings.Repeat("x", MaxUnixPath), strings.Repeat("x", MaxUnixPath), Unix},
	} {
		a, err := ParseAddr(tc.network, tc.address)
		if err != nil {
			t.Errorf("%s %q: %v", tc.network, tc.address, err)
			continue
		}
		if a.String() != tc.want || tc.family != 0 && a.Family() != tc.family || !a.IsValid() {
			t.Errorf("%s %q: %v of %v, want %v of %v", tc.network, tc.address, a, a.Family(), tc.want, tc.family)
		}
	}
}

func TestParseAddrRefuses(t *testing.T) {
	for _, tc := range []struct {
		network, address string
		text             string
	}{
		{"udp", "192.0.2.1:80", "unknown network udp"},
		{"", "192.0.2.1:80", "unknown network"},
		{"tcp", "192.0.2.1", "missing port"},
		{"tcp", "2001:db8::1:80", "too many colons"},
		{"tcp", "192.0.2.1:65536", "invalid port"},
		{"tcp", "192.0.2.1:-1", "invalid port"},
		{"tcp", "192.0.2.1:no-such-service", "unknown port"},
		{"tcp", "192.0.2.999:80", "not an IP address"},
		{"tcp", "[2001:db8::g]:80", "not an IP address"},
		{"tcp4", "[2001:db8::1]:80", "not an address of tcp4"},
		{"tcp6", "192.0.2.1:80", "not an address of tcp6"},
		{"tcp6", "[::ffff:192.0.2.1]:80", "not an address of tcp6"},
		{"unix", "", "empty"},
		{"unix", "a\x00b", "zero byte"},
		{"unix", strings.Repeat("x", MaxUnixPath+1), "too long"},
		{"unix", "@" + strings.Repeat("x", MaxUnixPath+1), ""}, // differs between systems
	} {
		a, err := ParseAddr(tc.network, tc.address)
		if err == nil || !strings.Contains(err.Error(), tc.text) || a.IsValid() {
			t.Errorf("%s %q: %v, %v, want an error with %q", tc.network, tc.address, a, err, tc.text)
		}
		if err == ErrHostName {
			t.Errorf("%s %q counts as a host name", tc.network, tc.address)
		}
	}
	for _, host := range []string{"localhost", "example.com", "1.example", "x"} {
		if a, err := ParseAddr("tcp", host+":http"); err != ErrHostName || a.IsValid() {
			t.Errorf("%s: %v, %v, want ErrHostName", host, a, err)
		}
	}
	if _, err := ParseAddr("sctp", "x"); !errors.As(err, new(net.UnknownNetworkError)) {
		t.Errorf("sctp: %T, want net.UnknownNetworkError", err)
	}
}

func TestAddrNetAddr(t *testing.T) {
	tcp := TCPAddr(netip.MustParseAddrPort("[fe80::1%eth0]:80"))
	if a, ok := tcp.NetAddr().(*net.TCPAddr); !ok || a.String() != "[fe80::1%eth0]:80" || a.Network() != "tcp" {
		t.Errorf("got %v", tcp.NetAddr())
	}
	path := UnixAddr("/run/x")
	if a, ok := path.NetAddr().(*net.UnixAddr); !ok || a.Name != "/run/x" || a.Net != "unix" {
		t.Errorf("got %v", path.NetAddr())
	}
	if a := (Addr{}); a.NetAddr() != nil || a.IsValid() || a.String() != "no address" || a.Path() != "" {
		t.Errorf("the zero Addr is %v, %v", a, a.NetAddr())
	}
	if a := TCPAddr(netip.AddrPort{}); a.IsValid() {
		t.Errorf("the zero AddrPort is %v", a)
	}
	if a := UnixAddr(""); a.Path() != "" || a.Family() != Unix || a.AddrPort().IsValid() || a.Port() != 0 {
		t.Errorf("an unnamed socket is %v", a)
	}
	if tcp.Port() != 80 || tcp.AddrPort().String() != "[fe80::1%eth0]:80" {
		t.Errorf("port %d of %v", tcp.Port(), tcp.AddrPort())
	}
}

func TestAddrDialable(t *testing.T) {
	for _, tc := range []struct {
		addr     string
		want     string
		wildcard bool
	}{
		{"0.0.0.0:0", "127.0.0.1:0", true},
		{"[::]:0", "[::1]:0", true},
		{"192.0.2.1:80", "192.0.2.1:80", false},
	} {
		a := TCPAddr(netip.MustParseAddrPort(tc.addr))
		if got := a.Dialable().String(); got != tc.want || a.IsWildcard() != tc.wildcard {
			t.Errorf("%s: dial %s, wildcard %v, want %s, %v", tc.addr, got, a.IsWildcard(), tc.want, tc.wildcard)
		}
	}
	if a := UnixAddr("x"); a.Dialable().Path() != "x" || a.IsWildcard() {
		t.Error("a path must stay what it is")
	}
}

func TestFamilyString(t *testing.T) {
	for f, want := range map[Family]string{FamilyNone: "none", Inet4: "inet4", Inet6: "inet6", Unix: "unix"} {
		if f.String() != want {
			t.Errorf("got %q, want %q", f, want)
		}
	}
}

// Every connection may hold one.
func TestAddrSize(t *testing.T) {
	if n := unsafe.Sizeof(Addr{}); unsafe.Sizeof(uintptr(0)) == 8 && n != 40 {
		t.Errorf("an Addr is %d bytes, want 40", n)
	}
	ap := netip.MustParseAddrPort("[2001:db8::1]:80")
	if n := testing.AllocsPerRun(100, func() { _ = TCPAddr(ap).Dialable().Port() }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
