//go:build unix

package bev_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/leak"
	"github.com/bevgo/bev/internal/sys"
)

// talk has c echo and p talk to it.
func (r *rig) talk(c *bev.Conn, p *peer) {
	r.t.Helper()
	r.on(func() { echo(c) })
	p.sendN(1000)
	p.wantN(1000)
}

func TestAdoptADescriptor(t *testing.T) {
	r := run(t, nil)
	fd, p := socketPair(t) // blocking, as those of most programs are
	c := r.adoptFrom(fd, nil)
	if got := get(r, c.FD); got != fd {
		t.Fatalf("FD is %d, want %d", got, fd)
	}
	r.talk(c, p)
	r.on(func() { closeTwice(t, c) })
	p.wantEOF("the descriptor is the Conn's")

	fd, p = socketPair(t)
	r.talk(r.adoptFrom(uintptr(fd), nil), p)
}

func TestAdoptANetConn(t *testing.T) {
	r := run(t, nil)
	for _, network := range []string{"tcp", "unix"} {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = filepath.Join(t.TempDir(), "s")
		}
		ln := netListen(t, network, addr)
		p := r.call(ln)
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		before := len(leak.Descriptors())
		c := r.adoptFrom(nc, nil)
		if n := len(leak.Descriptors()); n != before {
			t.Fatalf("adopting a net.Conn made %d descriptors of %d", n, before)
		}
		if _, err := nc.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("the net.Conn is still open: %v", err)
		}
		r.talk(c, p)
		r.on(func() {
			if c.LocalAddr().String() != ln.Addr().String() || c.LocalAddr().Network() != network {
				t.Errorf("LocalAddr is %v, want %v", c.LocalAddr(), ln.Addr())
			}
			if a := c.RemoteAddr(); a == nil || a.Network() != network {
				t.Errorf("RemoteAddr is %v", a)
			}
			closeTwice(t, c)
		})
		p.wantEOF("the net.Conn is the Conn's")
	}
}

func TestAdoptAFile(t *testing.T) {
	r := run(t, nil)
	fd, p := socketPair(t)
	f := os.NewFile(uintptr(fd), "socket")
	c := r.adoptFrom(f, nil)
	if _, err := f.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("the file is still open: %v", err)
	}
	r.talk(c, p)
}

func TestAdoptButKeepOpenLeavesTheOriginalUsable(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp", "127.0.0.1:0")
	p := r.call(ln)
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	before := len(leak.Descriptors())
	c := r.adoptFrom(nc, &bev.ConnOptions{KeepOpen: true})
	r.talk(c, p)
	r.on(func() { closeTwice(t, c) })
	if n := len(leak.Descriptors()); n != before {
		t.Fatalf("%d descriptors after Close, want %d: the duplicate is the Conn's to close", n, before)
	}
	// The kernel watches the open file, which lives on: bytes must not wake
	// the loop.
	p.send("more")
	r.wantIdle("the Conn is closed")
	b := make([]byte, 4)
	if _, err := io.ReadFull(nc, b); err != nil || string(b) != "more" {
		t.Fatalf("the net.Conn read %q, %v", b, err)
	}
	if _, err := nc.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	p.want("answer")
}

func TestAdoptBothEndsOfAPipe(t *testing.T) {
	r := run(t, nil)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tr := r.trace()
	out := r.adoptFrom(pw, nil)
	in := r.adoptFrom(pr, nil)
	r.on(func() {
		in.SetCallbacks(tr.callbacks(everything))
		in.Enable(bev.Reading)
		out.SetCallbacks(bev.Callbacks{Write: func(*bev.Conn) { tr.add("written") }})
		out.WriteString("hello")
		if in.LocalAddr() != nil || in.RemoteAddr() != nil {
			t.Errorf("a pipe has addresses %v, %v", in.LocalAddr(), in.RemoteAddr())
		}
		if err := out.CloseWrite(); err != nil {
			t.Errorf("CloseWrite: %v", err)
		}
	})
	for range 2 {
		if line, _ := tr.next(); line != "written" && line != "read 5" {
			t.Fatalf("got %q", line)
		}
	}
	r.on(func() { out.Close() })
	tr.want("event reading|eof")
	tr.wantData("hello")

	// A reader that goes away breaks the pipe.
	if pr, pw, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	out = r.adoptFrom(pw, nil)
	r.on(func() { out.SetCallbacks(tr.callbacks(0)) })
	pr.Close()
	r.settle()
	r.write(out, "x")
	tr.want("event writing|error: broken pipe")
	r.on(func() { out.Abort() }) // a pipe knows no reset, and needs none
}

// blockingPipe is a pipe as a shell hands it down.
func blockingPipe(t *testing.T) (r, w int) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
		t.Cleanup(func() { syscall.Close(fd) })
	}
	return fds[0], fds[1]
}

func TestBlockingPipeThatOthersShareIsRefused(t *testing.T) {
	r := run(t, nil)
	fd, _ := blockingPipe(t)
	keep := &bev.ConnOptions{KeepOpen: true}
	dup, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(dup), "shared")
	defer file.Close()
	r.on(func() {
		for _, from := range []any{fd, file} {
			_, err := bev.NewConn(r.l, from, keep)
			if err == nil || !strings.Contains(err.Error(), "Loop.Watch") {
				t.Errorf("NewConn of a blocking %T with KeepOpen: %v, want an error that names Loop.Watch", from, err)
			}
		}
	})
	if nonblock, err := sys.IsNonblock(fd); err != nil || nonblock {
		t.Fatalf("O_NONBLOCK is %v, %v: others would feel it", nonblock, err)
	}
	if err := sys.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	r.adoptFrom(fd, keep)
	if n := r.settle().Conns; n != 1 {
		t.Fatalf("%d connections, want the one that was accepted", n)
	}
}

func TestAdoptARegularFile(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c := r.adoptFrom(sample(t, 200_000), nil)
	r.wantIdle("a file that nobody reads costs nothing")
	read := 0
	r.on(func() {
		c.SetCallbacks(bev.Callbacks{
			Read:  func(c *bev.Conn) { read += c.Input().Drain(c.Input().Len()) },
			Event: tr.event,
		})
		c.Enable(bev.Reading)
	})
	tr.want("event reading|eof")
	if n := get(r, func() int { return read }); n != 200_000 {
		t.Fatalf("%d bytes were read, want 200000", n)
	}
	r.wantIdle("the file has ended")

	// Reading stands still at a mark, as for anything else.
	c = r.adoptFrom(sample(t, 1000), &bev.ConnOptions{ReadWatermark: bev.Watermark{High: 10}})
	r.on(func() { c.Enable(bev.Reading) })
	r.wantInput(c, 10, "the high mark")
	r.wantIdle("Input is at its high mark")

	name := filepath.Join(t.TempDir(), "new")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	c = r.adoptFrom(f, nil)
	r.on(func() { c.Write(part(0, 300_000)); c.CloseAfterFlush(0) })
	r.wantClosed(c, "all is written")
	if b, err := os.ReadFile(name); err != nil || string(b) != string(part(0, 300_000)) {
		t.Fatalf("the file holds %d bytes, %v", len(b), err)
	}
}

// failingClose is a net.Conn that cannot be closed.
type failingClose struct{ *net.UnixConn }

func (failingClose) Close() error { return syscall.EIO }

func TestAdoptRefusesWhatCannotBeAdopted(t *testing.T) {
	r := run(t, nil)
	closedFile := sample(t, 1)
	closedFile.Close()
	closedConn, stuck := peers(t)
	closedConn.close()
	before := len(leak.Descriptors())
	for _, test := range []struct {
		name string
		from any
		want error // nil: any
	}{
		{"nil", nil, nil},
		{"a string", "fd", nil},
		{"a TLS connection", &tls.Conn{}, nil},
		{"a closed file", closedFile, nil},
		{"a nil file", (*os.File)(nil), os.ErrInvalid},
		{"a closed net.Conn", closedConn.Conn, net.ErrClosed},
		{"no descriptor at all", 1 << 20, syscall.EBADF},
		{"what a call that failed returned", -22, nil},
		{"what cannot be closed", failingClose{stuck.Conn.(*net.UnixConn)}, syscall.EIO},
	} {
		r.on(func() {
			c, err := bev.NewConn(r.l, test.from, nil)
			if err == nil || c != nil || test.want != nil && !errors.Is(err, test.want) || !strings.HasPrefix(err.Error(), "bev: ") {
				t.Errorf("%s: %v, %v, want %v", test.name, c, err, test.want)
			}
		})
	}
	if s := r.settle(); s.Conns != 0 {
		t.Errorf("%d connections are left", s.Conns)
	}
	if n := len(leak.Descriptors()); n != before {
		t.Errorf("%d descriptors, were %d", n, before)
	}
}

func TestAdoptReportsEachFailingCallAndLeavesADescriptorToItsOwner(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct {
		op   sys.Op
		skip int
	}{{sys.OpFstat, 0}, {sys.OpFcntl, 0}, {sys.OpFstat, 1}, {sys.OpFcntl, 1}, {sys.OpEpollCtl, 0}} {
		fd, p := socketPair(t)
		f := inject(t)
		f.add(&fault{op: test.op, fd: anyFD, skip: test.skip, times: 1, limit: -1, err: syscall.ENOMEM})
		r.on(func() {
			if c, err := bev.NewConn(r.l, fd, nil); c != nil || !errors.Is(err, syscall.ENOMEM) {
				t.Errorf("%v fails: %v, %v", test.op, c, err)
			}
		})
		if _, err := syscall.Write(fd, []byte("x")); err != nil {
			t.Errorf("%v fails: the descriptor is gone: %v", test.op, err)
		}
		p.want("x")
		syscall.Close(fd)
		if n := r.settle().Conns; n != 0 {
			t.Fatalf("%v fails: %d connections are left", test.op, n)
		}
	}
	// A duplicate that fails is closed, and what it was made of too.
	stranger, _ := peers(t)
	before := len(leak.Descriptors())
	f := inject(t)
	f.add(&fault{op: sys.OpEpollCtl, fd: anyFD, times: 1, limit: -1, err: syscall.ENOMEM})
	r.on(func() {
		if c, err := bev.NewConn(r.l, stranger.Conn, nil); c != nil || !errors.Is(err, syscall.ENOMEM) {
			t.Errorf("a net.Conn: %v, %v", c, err)
		}
	})
	if n := len(leak.Descriptors()); n != before-1 {
		t.Errorf("%d descriptors, were %d and one was given away", n, before)
	}
	stranger, _ = peers(t)
	f.add(&fault{op: sys.OpFcntl, fd: anyFD, times: 1, limit: -1, err: syscall.EMFILE})
	r.on(func() {
		if c, err := bev.NewConn(r.l, stranger.Conn, nil); c != nil || !errors.Is(err, syscall.EMFILE) {
			t.Errorf("no descriptor for a duplicate: %v, %v", c, err)
		}
	})
	stranger.close() // is still its owner's
}

func TestConnOverNoDescriptorYet(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c := r.adoptFrom(-1, nil)
	r.on(func() {
		c.SetCallbacks(tr.callbacks(everything))
		c.Enable(bev.Both)
		c.WriteString("hello")
		if c.FD() != -1 || c.LocalAddr() != nil || c.RemoteAddr() != nil {
			t.Errorf("FD %d, addresses %v, %v", c.FD(), c.LocalAddr(), c.RemoteAddr())
		}
	})
	r.wantSuspended(c, bev.Reading, bev.ReasonNoFD, "there is no descriptor")
	r.wantSuspended(c, bev.Writing, bev.ReasonNoFD, "there is no descriptor")
	r.wantIdle("there is no descriptor")
	tr.wantNothing("there is no descriptor")

	fd, p := socketPair(t)
	r.on(func() {
		if err := c.SetFD(fd); err != nil {
			t.Errorf("SetFD: %v", err)
		}
	})
	p.want("hello")
	tr.want("write")
	p.send("world")
	tr.want("read 5")
}

func TestSetFDMovesAConnToAnotherDescriptor(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	o := &bev.ConnOptions{ReadWatermark: bev.Watermark{Low: 3, High: 20}}
	c, first := r.adopt(o, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(0))
		c.Enable(bev.Reading)
	})
	first.send("old")
	tr.want("read 3")
	first.halfClose()
	tr.want("event reading|eof")
	old := get(r, c.FD)
	fd, second := socketPair(t)
	r.on(func() {
		c.Disable(bev.Writing)
		c.WriteString("kept")
		if err := c.SetFD(fd); err != nil {
			t.Errorf("SetFD: %v", err)
		}
		if c.FD() != fd || c.Watermark(bev.Reading) != o.ReadWatermark || c.Input().Len() != 3 || c.Output().Len() != 4 || c.Enabled() != 0 {
			t.Errorf("FD %d, marks %+v, %d bytes of Input, %d of Output, enabled %v", c.FD(), c.Watermark(bev.Reading), c.Input().Len(), c.Output().Len(), c.Enabled())
		}
		c.Enable(bev.Both)
	})
	second.want("kept")
	tr.want("write")
	second.send("new")
	tr.want("read 6")

	// The old descriptor is the caller's again, and the loop's no more.
	if _, err := syscall.Write(old, []byte("bye")); err != nil {
		t.Fatal(err)
	}
	first.want("bye")
	r.wantIdle("the old descriptor is not the Conn's")
	syscall.Close(old)

	r.on(func() {
		if err := c.SetFD(-1); err != nil {
			t.Errorf("SetFD(-1): %v", err)
		}
	})
	r.wantSuspended(c, bev.Reading, bev.ReasonNoFD, "there is no descriptor")
	second.send("unheard")
	tr.wantNothing("there is no descriptor")
	syscall.Close(fd)
	r.on(func() { closeTwice(t, c) })
}

func TestSetFDForgetsAnErrorOfTheOldDescriptor(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.accept(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	p.reset()
	tr.want("event reading|error: reset")
	old := get(r, c.FD)
	fd, second := socketPair(t)
	r.on(func() {
		if err := c.SetFD(fd); err != nil {
			t.Errorf("SetFD: %v", err)
		}
		c.Enable(bev.Both)
	})
	tr.want("write")
	second.send("hello")
	tr.want("read 5")
	r.write(c, "world")
	second.want("world")
	tr.want("write")
	second.close()
	tr.want("event reading|eof")
	syscall.Close(old)
}

func TestSetFDInABatchDropsWhatTheOldDescriptorReported(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	fresh := make([]int, 2)
	var olds []int
	conns := make([]*bev.Conn, 2)
	ends := make([]*peer, 2)
	for i := range conns {
		fresh[i], _ = socketPair(t)
		conns[i], ends[i] = r.adopt(nil, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
				tr.add("read %d", c.Input().Drain(100))
				other := conns[1-i]
				olds = append(olds, other.FD())
				if err := other.SetFD(fresh[1-i]); err != nil {
					t.Errorf("SetFD: %v", err)
				}
			}})
			c.Enable(bev.Reading)
		})
	}
	f := inject(t)
	release := r.hold()
	ends[0].send("hello")
	ends[1].send("hello")
	release()
	tr.want("read 5")
	tr.wantNothing("the other has another descriptor by now")
	if n := f.count(sys.OpRead); n != 1 {
		t.Errorf("%d reads, want 1: what the old descriptor reported says nothing of the new one", n)
	}
	old := get(r, func() int { return olds[0] })
	for _, fd := range fresh {
		if fd != get(r, conns[0].FD) && fd != get(r, conns[1].FD) {
			syscall.Close(fd) // the one that was not used
		}
	}
	syscall.Close(old)
}

func TestSetFDWithAnEventDue(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	fd, p := socketPair(t)
	c, _ := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		old := c.FD()
		c.TriggerEvent(bev.EventTimeout, os.ErrDeadlineExceeded)
		c.Trigger(bev.Reading, 0)
		if err := c.SetFD(fd); err != nil {
			t.Errorf("SetFD: %v", err)
		}
		syscall.Close(old)
		c.Enable(bev.Reading)
	})
	// Nothing waits to be sent, so the new descriptor owes a Write callback.
	tr.want("read 0", "write", "event timeout")
	p.send("hello")
	tr.want("read 5")
	r.wantOpen(c, "it has a descriptor")
}

func TestSetFDReportsWhatIsWrongAndLeavesTheDescriptorToItsOwner(t *testing.T) {
	r := run(t, nil)
	c, _ := r.adopt(nil, nil)
	old := get(r, c.FD)
	f := inject(t)
	fd, p := socketPair(t)
	r.on(func() {
		f.fail(sys.OpFstat, fd, syscall.ENOMEM)
		if err := c.SetFD(fd); !errors.Is(err, syscall.ENOMEM) || c.FD() != -1 {
			t.Errorf("SetFD: %v, and FD is %d", err, c.FD())
		}
		// It may be tried again.
		c.WriteString("hello")
		if err := c.SetFD(fd); err != nil {
			t.Errorf("SetFD: %v", err)
		}
	})
	p.want("hello")
	syscall.Close(old)
}

func option(t *testing.T, fd, level, name int) int {
	t.Helper()
	n, err := syscall.GetsockoptInt(fd, level, name)
	if err != nil {
		t.Errorf("getsockopt: %v", err)
	}
	return n
}

func TestNoDelayAndKeepAliveAreOnUnlessToldOtherwise(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct {
		opts           bev.ConnOptions
		nodelay, alive bool
	}{
		{bev.ConnOptions{}, true, true},
		{bev.ConnOptions{Nagle: true, KeepAlive: -1}, false, false},
		{bev.ConnOptions{KeepAlive: 7_000_000_000}, true, true},
	} {
		tr := r.trace()
		accepted, _ := r.accept(&test.opts, nil)
		dialled, _ := r.dial(tr.callbacks(0), &bev.DialOptions{Conn: &test.opts})
		tr.want("event connected")
		for _, c := range []*bev.Conn{accepted, dialled} {
			r.on(func() {
				if on := option(t, c.FD(), syscall.IPPROTO_TCP, syscall.TCP_NODELAY) != 0; on != test.nodelay {
					t.Errorf("%+v: TCP_NODELAY is %v", test.opts, on)
				}
				if on := option(t, c.FD(), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE) != 0; on != test.alive {
					t.Errorf("%+v: SO_KEEPALIVE is %v", test.opts, on)
				}
			})
		}
	}
}

func TestAddressesOfAConnWhoseSocketCannotTell(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, _ := r.adopt(nil, nil)
	r.on(func() {
		f.fail(sys.OpGetsockname, c.FD(), syscall.ENOBUFS)
		f.fail(sys.OpGetpeername, c.FD(), syscall.ENOTCONN)
		if l, a := c.LocalAddr(), c.RemoteAddr(); l != nil || a != nil {
			t.Errorf("addresses %v, %v, want none", l, a)
		}
	})
}
