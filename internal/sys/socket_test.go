//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bevgo/bev/internal/leak"
)

// vectorsOnStack: no Readv or Writev allocates here, however many the slices.
const vectorsOnStack = runtime.GOOS != "darwin" && runtime.GOOS != "openbsd"

// own has fd closed at the end of the test.
func own(t testing.TB, fd int) int {
	t.Helper()
	t.Cleanup(func() { _ = Close(fd) }) // some tests have closed theirs
	return fd
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listener listens on a; the address it returns has the kernel's port.
func listener(t testing.TB, a Addr) (fd int, bound Addr) {
	t.Helper()
	fd, err := Socket(a.Family(), Stream)
	must(t, err)
	own(t, fd)
	must(t, Bind(fd, a))
	must(t, Listen(fd, 8))
	bound, err = LocalAddr(fd)
	must(t, err)
	return fd, bound
}

// dial connects to a.
func dial(t testing.TB, a Addr) int {
	t.Helper()
	fd, err := Socket(a.Family(), Stream)
	must(t, err)
	own(t, fd)
	if err := Connect(fd, a); err == ErrInProgress {
		await(t, fd, unix.POLLOUT)
		must(t, SocketError(fd))
	} else {
		must(t, err)
	}
	return fd
}

// connected dials a listener and accepts the call.
func connected(t testing.TB, l int, a Addr) (client, server int) {
	t.Helper()
	client = dial(t, a)
	await(t, l, unix.POLLIN)
	server, _, err := Accept(l)
	must(t, err)
	return client, own(t, server)
}

// await blocks until the descriptor is ready; the test's own limit ends it
// otherwise.
func await(t testing.TB, fd int, events int16) {
	t.Helper()
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		if _, err := unix.Poll(p, -1); err != unix.EINTR {
			must(t, err)
			return
		}
	}
}

func loopback(s string) Addr { return TCPAddr(netip.MustParseAddrPort(s)) }

func needIPv6(t *testing.T) {
	if !hasIPv6() {
		t.Skip("this system has no IPv6")
	}
}

func TestAcceptAddresses(t *testing.T) {
	for _, tc := range []struct {
		listen, dial string
		client       string // prefix of what the server sees
	}{
		{"127.0.0.1:0", "127.0.0.1", "127.0.0.1:"},
		{"[::1]:0", "::1", "[::1]:"},
		{"[::]:0", "::1", "[::1]:"},
		{"[::]:0", "127.0.0.1", "127.0.0.1:"}, // IPv4 in IPv6 is IPv4
	} {
		t.Run(tc.listen+" "+tc.dial, func(t *testing.T) {
			needIPv6(t)
			if runtime.GOOS == "openbsd" && tc.listen == "[::]:0" && tc.dial == "127.0.0.1" {
				t.Skip("openbsd keeps the families apart")
			}
			a := loopback(tc.listen)
			l, err := Socket(a.Family(), Stream)
			must(t, err)
			own(t, l)
			if a.Family() == Inet6 {
				must(t, SetV6Only(l, runtime.GOOS == "openbsd"))
			}
			must(t, Bind(l, a))
			must(t, Listen(l, 8))
			bound, err := LocalAddr(l)
			must(t, err)
			if bound.Port() == 0 || bound.AddrPort().Addr() != a.AddrPort().Addr() {
				t.Errorf("bound to %v, want %v with a port", bound, a)
			}
			if _, _, err := Accept(l); err != ErrAgain {
				t.Errorf("nobody called: %v, want ErrAgain", err)
			}
			client := dial(t, TCPAddr(netip.AddrPortFrom(netip.MustParseAddr(tc.dial), bound.Port())))
			await(t, l, unix.POLLIN)
			server, seen, err := Accept(l)
			must(t, err)
			own(t, server)
			clientAddr, err := LocalAddr(client)
			must(t, err)
			if seen != clientAddr || !strings.HasPrefix(seen.String(), tc.client) {
				t.Errorf("Accept says %v, the client is %v, want %s", seen, clientAddr, tc.client)
			}
			peer, err := PeerAddr(server)
			must(t, err)
			if peer != seen {
				t.Errorf("PeerAddr is %v, Accept said %v", peer, seen)
			}
			checkFlags(t, server)
		})
	}
}

// checkFlags wants a descriptor as this package makes them.
func checkFlags(t *testing.T, fd int) {
	t.Helper()
	if on, err := IsNonblock(fd); err != nil || !on {
		t.Errorf("non-blocking %v, %v", on, err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("close-on-exec: flags %#x, %v", flags, err)
	}
}

func TestAcceptUnix(t *testing.T) {
	dir := t.TempDir()
	path := UnixAddr(filepath.Join(dir, "s"))
	l, bound := listener(t, path)
	if bound.Path() != path.Path() || bound.Family() != Unix {
		t.Errorf("bound to %v, want %v", bound, path)
	}
	_, server := connected(t, l, path)
	if peer, err := PeerAddr(server); err != nil || peer.Path() != "" || peer.Family() != Unix {
		t.Errorf("an unnamed client is %v of %v, %v", peer, peer.Family(), err)
	}
	if local, err := LocalAddr(server); err != nil || local.Path() != path.Path() {
		t.Errorf("the server's name is %v, %v", local, err)
	}
	named, err := Socket(Unix, Stream)
	must(t, err)
	own(t, named)
	name := UnixAddr(filepath.Join(dir, "c"))
	must(t, Bind(named, name))
	must(t, Connect(named, path))
	conn, seen, err := Accept(l)
	must(t, err)
	own(t, conn)
	if seen.Path() != name.Path() {
		t.Errorf("a named client is %q, want %q", seen.Path(), name.Path())
	}
}

func TestConnectOutcomes(t *testing.T) {
	l, a := listener(t, loopback("127.0.0.1:0"))
	fd, err := Socket(Inet4, Stream)
	must(t, err)
	own(t, fd)
	if _, err := PeerAddr(fd); !errors.Is(err, syscall.ENOTCONN) {
		t.Errorf("PeerAddr before connect: %v, want ENOTCONN", err)
	}
	if err := Connect(fd, a); err != nil && err != ErrInProgress {
		t.Fatal(err)
	}
	await(t, fd, unix.POLLOUT)
	if err := Connect(fd, a); !errors.Is(err, syscall.EISCONN) && err != nil {
		t.Errorf("connect again: %v", err)
	}
	must(t, Close(l))

	refused, err := Socket(Inet4, Stream)
	must(t, err)
	own(t, refused)
	err = Connect(refused, a)
	if err == ErrInProgress {
		await(t, refused, unix.POLLOUT)
		err = SocketError(refused)
		if err != syscall.ECONNREFUSED {
			t.Errorf("SO_ERROR is %#v, want the bare ECONNREFUSED", err)
		}
		must(t, SocketError(refused)) // taken
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v, want ECONNREFUSED", err)
	}
	if err := Connect(refused, Addr{}); !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("connect to no address: %v", err)
	}
	if err := Bind(refused, Addr{}); !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("bind to no address: %v", err)
	}
	if err := Connect(refused, UnixAddr(strings.Repeat("x", 200))); err == nil {
		t.Error("a path that is too long was taken")
	}
}

func TestConnectInterrupted(t *testing.T) {
	_, a := listener(t, loopback("127.0.0.1:0"))
	turns := 0
	defer SetHook(func(op Op, _, _ int) (int, error) {
		if op == OpConnect {
			if turns++; turns < 3 {
				return 0, syscall.EINTR
			}
		}
		return -1, nil
	})()
	dial(t, a)
	if turns != 3 {
		t.Errorf("%d turns, want 3", turns)
	}
}

func TestSocketKinds(t *testing.T) {
	a, _ := pair(t)
	l, _ := listener(t, loopback("127.0.0.1:0"))
	dgram, err := Socket(Inet4, Datagram)
	must(t, err)
	own(t, dgram)
	checkFlags(t, a)
	checkFlags(t, l)
	for _, tc := range []struct {
		name      string
		fd        int
		typ       int
		family    Family
		listening bool
	}{
		{"pair", a, Stream, Unix, false},
		{"listener", l, Stream, Inet4, true},
		{"datagram", dgram, Datagram, Inet4, false},
	} {
		if typ, err := SocketType(tc.fd); typ != tc.typ || err != nil {
			t.Errorf("%s: type %d, %v", tc.name, typ, err)
		}
		if f, err := SocketFamily(tc.fd); f != tc.family || err != nil {
			t.Errorf("%s: family %v, %v", tc.name, f, err)
		}
		if on, err := IsListening(tc.fd); on != tc.listening || err != nil {
			t.Errorf("%s: listening %v, %v", tc.name, on, err)
		}
		if ok, err := IsSocket(tc.fd); !ok || err != nil {
			t.Errorf("%s: socket %v, %v", tc.name, ok, err)
		}
		if ok, err := IsRegular(tc.fd); ok || err != nil {
			t.Errorf("%s: regular %v, %v", tc.name, ok, err)
		}
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	must(t, err)
	defer f.Close()
	fd := int(f.Fd())
	if _, err := SocketType(fd); !errors.Is(err, syscall.ENOTSOCK) {
		t.Errorf("type of a file: %v, want ENOTSOCK", err)
	}
	if _, err := SocketFamily(fd); !errors.Is(err, syscall.ENOTSOCK) {
		t.Errorf("family of a file: %v, want ENOTSOCK", err)
	}
	if ok, err := IsSocket(fd); ok || err != nil {
		t.Errorf("a file is a socket: %v, %v", ok, err)
	}
	if ok, err := IsRegular(fd); !ok || err != nil {
		t.Errorf("a file is regular: %v, %v", ok, err)
	}
	if _, err := Socket(FamilyNone, Stream); err == nil {
		t.Error("a socket of no family")
	}
}

func TestNonblockAndDup(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	raw := int(r.Fd()) // which makes it blocking
	if on, err := IsNonblock(raw); on || err != nil {
		t.Fatalf("non-blocking %v, %v", on, err)
	}
	dup, err := DupCloexec(raw)
	must(t, err)
	own(t, dup)
	must(t, SetNonblock(dup, true))
	if on, err := IsNonblock(raw); !on || err != nil {
		t.Errorf("the flag belongs to the open file: %v, %v", on, err)
	}
	checkFlags(t, dup)
	if n, err := Polite.Read(dup, make([]byte, 1)); n != 0 || err != ErrAgain {
		t.Errorf("read: %d, %v", n, err)
	}
	must(t, SetNonblock(dup, false))
	if on, err := IsNonblock(raw); on || err != nil {
		t.Errorf("non-blocking %v, %v", on, err)
	}
	if _, err := DupCloexec(-1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("dup of nothing: %v", err)
	}
}

func TestPipe(t *testing.T) {
	r, w, err := Pipe()
	must(t, err)
	own(t, r)
	own(t, w)
	checkFlags(t, r)
	checkFlags(t, w)
	if n, err := Polite.Write(w, []byte("x")); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := Polite.Read(r, make([]byte, 2)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

func TestClose(t *testing.T) {
	a, _ := pair(t)
	restore := SetHook(func(op Op, _, _ int) (int, error) {
		if op == OpClose {
			return 0, syscall.EIO
		}
		return -1, nil
	})
	err := Close(a)
	restore()
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want the hook's error", err)
	}
	if err := Close(a); !errors.Is(err, syscall.EBADF) {
		t.Errorf("the descriptor is open after a fault: %v", err)
	}
}

// Every call asks the hook, and gives its error, and leaves nothing open.
func TestEveryCallAsksTheHook(t *testing.T) {
	a, _ := pair(t)
	addr := loopback("127.0.0.1:0")
	for _, tc := range []struct {
		op Op
		f  func() error
	}{
		{OpSocket, func() error { _, err := Socket(Inet4, Stream); return err }},
		{OpSocket, func() error { _, _, err := SocketPair(); return err }},
		{OpPipe, func() error { _, _, err := Pipe(); return err }},
		{OpBind, func() error { return Bind(a, addr) }},
		{OpListen, func() error { return Listen(a, 1) }},
		{OpAccept, func() error { _, _, err := Accept(a); return err }},
		{OpConnect, func() error { return Connect(a, addr) }},
		{OpShutdown, func() error { return Shutdown(a, ShutWrite) }},
		{OpGetsockname, func() error { _, err := LocalAddr(a); return err }},
		{OpGetpeername, func() error { _, err := PeerAddr(a); return err }},
		{OpGetsockopt, func() error { return SocketError(a) }},
		{OpSetsockopt, func() error { return SetNoDelay(a, true) }},
		{OpSetsockopt, func() error { return SetLinger(a, 0) }},
		{OpSetsockopt, func() error { return SetKeepAlive(a, 0, 0, 0) }},
		{OpFcntl, func() error { return SetNonblock(a, true) }},
		{OpFcntl, func() error { _, err := IsNonblock(a); return err }},
		{OpFcntl, func() error { _, err := DupCloexec(a); return err }},
		{OpFstat, func() error { _, err := IsSocket(a); return err }},
	} {
		leak.Check(t)
		restore := SetHook(func(op Op, _, _ int) (int, error) {
			if op == tc.op {
				return 0, syscall.EMFILE
			}
			return -1, nil
		})
		err := tc.f()
		restore()
		var se *os.SyscallError
		if !errors.As(err, &se) || se.Err != syscall.EMFILE || se.Syscall != tc.op.String() {
			t.Errorf("%v: got %v", tc.op, err)
		}
	}
}

func TestZones(t *testing.T) {
	list, err := net.Interfaces()
	must(t, err)
	if len(list) == 0 {
		t.Skip("no interfaces")
	}
	ifi := list[0]
	for range 2 { // asked, then remembered
		if got := zones.name(uint32(ifi.Index)); got != ifi.Name {
			t.Errorf("zone %d is %q, want %q", ifi.Index, got, ifi.Name)
		}
	}
	if got := zones.id(ifi.Name); got != uint32(ifi.Index) {
		t.Errorf("zone %q is %d, want %d", ifi.Name, got, ifi.Index)
	}
	const nobody = 1<<31 - 7
	if got := zones.name(nobody); got != "2147483641" {
		t.Errorf("a zone without interface is %q", got)
	}
	for zone, want := range map[string]uint32{"": 0, "2147483641": nobody, "no such zone": 0} {
		if got := zones.id(zone); got != want {
			t.Errorf("zone %q is %d, want %d", zone, got, want)
		}
	}
	a := fromIPv6(netip.MustParseAddr("fe80::1").As16(), 80, uint32(ifi.Index))
	if want := "[fe80::1%" + ifi.Name + "]:80"; a.String() != want {
		t.Errorf("got %v, want %s", a, want)
	}
}
