//go:build unix

package bev_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// A peer is the other end of a Conn: a plain net.Conn. Its reads and writes
// fail the test when they take longer than patience.
type peer struct {
	net.Conn
	t    *testing.T
	sent int // bytes of the pattern sent so far
	got  int // bytes of the pattern received so far
}

func newPeer(t *testing.T, nc net.Conn) *peer {
	t.Helper()
	p := &peer{Conn: nc, t: t}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return p
}

// pattern is what peers send when the content is not the point, repeated. Its
// length is a prime, so that nothing which loses, repeats or swaps pieces of
// any usual size goes unnoticed.
var pattern = sync.OnceValue(func() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 65521)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
})

// part is n bytes of the endless pattern from off on.
func part(off, n int) []byte {
	p := make([]byte, n)
	for i := 0; i < n; {
		i += copy(p[i:], pattern()[(off+i)%len(pattern()):])
	}
	return p
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatalf("the peer sends %d bytes: %v", len(s), err)
	}
}

// sendN sends the next n bytes of the pattern.
func (p *peer) sendN(n int) {
	p.t.Helper()
	p.send(string(part(p.sent, n)))
	p.sent += n
}

// want reads s.
func (p *peer) want(s string) {
	p.t.Helper()
	b := make([]byte, len(s))
	if n, err := io.ReadFull(p, b); err != nil {
		p.t.Fatalf("the peer got %d of %d bytes, %q: %v", n, len(b), b[:n], err)
	}
	if string(b) != s {
		p.t.Fatalf("the peer got %q, want %q", b, s)
	}
}

// wantN reads the next n bytes of the pattern.
func (p *peer) wantN(n int) {
	p.t.Helper()
	const piece = 1 << 20
	b := make([]byte, min(n, piece))
	for n > 0 {
		b := b[:min(n, piece)]
		if m, err := io.ReadFull(p, b); err != nil {
			p.t.Fatalf("the peer got %d bytes of the pattern, %d are missing: %v", p.got+m, n-m, err)
		}
		if !bytes.Equal(b, part(p.got, len(b))) {
			p.t.Fatalf("what the peer got is wrong between byte %d and %d", p.got, p.got+len(b))
		}
		p.got += len(b)
		n -= len(b)
	}
}

// wantEOF reads the end of the stream.
func (p *peer) wantEOF(why string) {
	p.t.Helper()
	b := make([]byte, 512)
	if n, err := p.Read(b); err != io.EOF {
		p.t.Fatalf("%s: the peer got %q, %v, want the end", why, b[:n], err)
	}
}

// wantReset reads until the connection is reset.
func (p *peer) wantReset(why string) {
	p.t.Helper()
	if n, err := io.Copy(io.Discard, p.Conn); !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("%s: the peer got %d bytes and %v, want a reset", why, n, err)
	}
}

// offer sends as much of the pattern as the kernel takes without blocking,
// and returns how much that was. A full kernel is 0.
func (p *peer) offer(most int) int {
	p.t.Helper()
	rc, err := p.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	total := 0
	for total < most {
		var n int
		err := rc.Write(func(fd uintptr) bool {
			n, err = syscall.Write(int(fd), part(p.sent, min(most-total, 64<<10)))
			return true
		})
		if n <= 0 {
			if err == nil || errors.Is(err, syscall.EAGAIN) {
				break
			}
			p.t.Fatalf("the peer offers: %v", err)
		}
		total += n
		p.sent += n
	}
	return total
}

// offerAll sends as much of the pattern as the kernel and the Conn take, at
// most n bytes: until neither takes any more although the loop is at rest. It
// returns how much that was.
func (p *peer) offerAll(r *rig, n int) int {
	p.t.Helper()
	total := 0
	for refused := 0; refused < 20 && total < n; refused++ {
		if more := p.offer(n - total); more > 0 {
			total += more
			refused = -1
		}
		r.settle()
	}
	return total
}

// halfClose ends the peer's sending and leaves it reading.
func (p *peer) halfClose() {
	p.t.Helper()
	if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		p.t.Fatalf("the peer shuts its sending: %v", err)
	}
}

// reset closes the connection so that the Conn sees a reset. TCP only.
func (p *peer) reset() {
	p.t.Helper()
	if err := p.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		p.t.Fatal(err)
	}
	p.close()
}

func (p *peer) close() {
	p.t.Helper()
	if err := p.Conn.Close(); err != nil {
		p.t.Fatalf("the peer closes: %v", err)
	}
}

// accept makes a TCP connection from a peer to the loop. set, unless nil, runs
// in the accept function.
func (r *rig) accept(o *bev.ConnOptions, set func(c *bev.Conn)) (*bev.Conn, *peer) {
	r.t.Helper()
	accepted := make(chan *bev.Conn, 1)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		accepted <- c
		if set != nil {
			set(c)
		}
	}, &bev.ListenOptions{Conn: o})
	p := r.call(ln)
	c := await(r.t, accepted, "a caller to be accepted")
	if err := ln.Close(); err != nil {
		r.t.Fatalf("Listener.Close: %v", err)
	}
	r.on(func() {}) // accept has returned
	return c, p
}

// listen is bev.Listen on the rig's loop.
func (r *rig) listen(network, addr string, accept func(c *bev.Conn), o *bev.ListenOptions) *bev.Listener {
	r.t.Helper()
	ln, err := bev.Listen(r.l, network, addr, accept, o)
	if err != nil {
		r.t.Fatalf("Listen: %v", err)
	}
	return ln
}

// call connects a peer to a listener of bev's, or of net's.
func (r *rig) call(ln interface{ Addr() net.Addr }) *peer {
	r.t.Helper()
	nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		r.t.Fatalf("the peer dials: %v", err)
	}
	return newPeer(r.t, nc)
}

// adopt makes a Conn over one end of a unix socket pair: what the peer sends
// is at the Conn when send returns, without anything under way in between.
// set, unless nil, runs on the loop right after NewConn.
func (r *rig) adopt(o *bev.ConnOptions, set func(c *bev.Conn)) (*bev.Conn, *peer) {
	r.t.Helper()
	fd, p := socketPair(r.t)
	c := get(r, func() *bev.Conn {
		c, err := bev.NewConn(r.l, fd, o)
		if err != nil {
			r.t.Errorf("NewConn: %v", err)
			return nil
		}
		if set != nil {
			set(c)
		}
		return c
	})
	if c == nil {
		r.t.FailNow()
	}
	return c, p
}

// socketPair returns a descriptor for the caller to own, and its peer.
func socketPair(t *testing.T) (fd int, p *peer) {
	t.Helper()
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatalf("socketpair: %v", err)
	}
	return fds[0], fdPeer(t, fds[1])
}

// fdPeer makes a peer of a socket.
func fdPeer(t *testing.T, fd int) *peer {
	t.Helper()
	f := os.NewFile(uintptr(fd), "peer")
	nc, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, nc)
}

// peers are two ends of one connection.
func peers(t *testing.T) (a, b *peer) {
	t.Helper()
	fd, b := socketPair(t)
	return fdPeer(t, fd), b
}

// dial has the loop dial a peer, with the callbacks of cb.
func (r *rig) dial(cb bev.Callbacks, o *bev.DialOptions) (*bev.Conn, *peer) {
	r.t.Helper()
	ln := netListen(r.t, "tcp", "127.0.0.1:0")
	c := r.dialTo(ln, cb, o)
	nc, err := ln.Accept()
	if err != nil {
		r.t.Fatalf("the peer accepts: %v", err)
	}
	return c, newPeer(r.t, nc)
}

// dialTo is bev.Dial to a listener.
func (r *rig) dialTo(ln interface{ Addr() net.Addr }, cb bev.Callbacks, o *bev.DialOptions) *bev.Conn {
	r.t.Helper()
	c, err := bev.Dial(context.Background(), r.l, ln.Addr().Network(), ln.Addr().String(), cb, o)
	if err != nil {
		r.t.Fatalf("Dial: %v", err)
	}
	return c
}

// hasIPv6 reports whether this machine talks IPv6 to itself. Most containers do
// not, though their kernel knows it.
func hasIPv6() bool {
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	ln.Close()
	return true
}

// needIPv6 skips a test of nothing but IPv6 where there is none.
func needIPv6(t *testing.T) {
	t.Helper()
	if !hasIPv6() {
		t.Skip("this machine has no IPv6")
	}
}

// netListen is a listener of package net, for Conns to dial.
func netListen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// adoptFrom is NewConn on the rig's loop.
func (r *rig) adoptFrom(from any, o *bev.ConnOptions) *bev.Conn {
	r.t.Helper()
	c := get(r, func() *bev.Conn {
		c, err := bev.NewConn(r.l, from, o)
		if err != nil {
			r.t.Errorf("NewConn: %v", err)
			return nil
		}
		return c
	})
	if c == nil {
		r.t.FailNow()
	}
	return c
}

// pipeEnd makes a peer of one end of a pipe, or of any other file.
type pipeEnd struct{ *os.File }

func (pipeEnd) LocalAddr() net.Addr  { return nil }
func (pipeEnd) RemoteAddr() net.Addr { return nil }

// available is how many bytes the peer could read now, -1 for the end.
func (p *peer) available() (n int) {
	p.t.Helper()
	rc, err := p.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	b := make([]byte, 64<<10)
	err = errors.Join(err, rc.Control(func(fd uintptr) {
		n, _, err = syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}))
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return 0
	case err != nil:
		p.t.Fatalf("the peer looks what is there: %v", err)
	case n == 0:
		return -1
	}
	return n
}

// closedPort is the address of a port that nobody listens on.
func closedPort(t *testing.T) interface{ Addr() net.Addr } {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return ln
}

// readFull fills b.
func (p *peer) readFull(b []byte) {
	p.t.Helper()
	if n, err := io.ReadFull(p, b); err != nil {
		p.t.Fatalf("the peer got %d of %d bytes: %v", n, len(b), err)
	}
}
