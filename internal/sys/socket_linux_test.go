package sys

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAbstractNames(t *testing.T) {
	name := fmt.Sprintf("@bev-test-%d-\x00-%s", os.Getpid(), t.Name())
	a, err := ParseAddr("unix", name)
	must(t, err)
	l, bound := listener(t, a)
	if bound.Path() != name {
		t.Errorf("bound to %q, want %q", bound.Path(), name)
	}
	_, server := connected(t, l, a)
	if local, err := LocalAddr(server); err != nil || local.Path() != name {
		t.Errorf("the server's name is %q, %v", local.Path(), err)
	}
	longest := "@" + strings.Repeat("x", MaxUnixPath)
	if a, err := ParseAddr("unix", longest); err != nil || a.Path() != longest {
		t.Errorf("the longest name: %v", err)
	}
}

// The kernel writes a path that fills the field without a zero at its end.
func TestLongestPath(t *testing.T) {
	var raw unix.RawSockaddrUnix
	raw.Family = unix.AF_UNIX
	for i := range raw.Path {
		raw.Path[i] = 'x'
	}
	if a := fromRawUnix(&raw, unix.SizeofSockaddrUnix); a.Path() != strings.Repeat("x", len(raw.Path)) {
		t.Errorf("got %q", a.Path())
	}
	for _, n := range []uint32{0, 1, 2} {
		if a := fromRawUnix(&raw, n); a.Path() != "" || a.Family() != Unix {
			t.Errorf("%d bytes of address: %q", n, a.Path())
		}
	}
}

func TestForeignFamily(t *testing.T) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Skip("no netlink:", err)
	}
	own(t, fd)
	a, err := LocalAddr(fd)
	if err != nil || a.IsValid() {
		t.Errorf("got %v, %v, want no address", a, err)
	}
}

func TestAcceptAllocatesNothing(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(listen, func(t *testing.T) {
			needIPv6(t)
			l, a := listener(t, loopback(listen))
			// Callers beforehand, so that only Accept is measured. AllocsPerRun
			// makes one run more.
			const runs = 5
			for range runs + 1 {
				dial(t, a)
			}
			n := testing.AllocsPerRun(runs, func() {
				fd, _, err := Accept(l)
				if err != nil {
					t.Error(err)
				}
				_ = Close(fd)
			})
			if n != 0 {
				t.Errorf("%v allocations, want 0", n)
			}
		})
	}
}
