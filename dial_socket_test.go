//go:build unix

package bev_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// What a Dial does with a socket: Control, LocalAddr, unix paths, and each
// system call that can fail.

func TestDialControlIsCalledBetweenSocketAndConnect(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	f := inject(t)
	type call struct{ network, address string }
	calls := make(chan call, 4)
	const want = 32 << 10
	var kept syscall.RawConn
	cb, ch := outcomes()
	c, err := bev.Dial(t.Context(), r.l, "tcp", ln.Addr().String(), cb, &bev.DialOptions{
		LocalAddr: "127.0.0.1:0",
		Control: func(network, address string, rc syscall.RawConn) error {
			calls <- call{network, address}
			if s, b, c := f.count(sys.OpSocket), f.count(sys.OpBind), f.count(sys.OpConnect); s != 1 || b != 0 || c != 0 {
				t.Errorf("Control came after %d sockets, %d binds and %d connects, want 1, 0, 0", s, b, c)
			}
			kept = rc
			if err := rc.Read(func(uintptr) bool { return true }); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("RawConn.Read: %v", err)
			}
			if err := rc.Write(func(uintptr) bool { return true }); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("RawConn.Write: %v", err)
			}
			var err error
			if ctl := rc.Control(func(fd uintptr) { err = sys.SetRecvBuffer(int(fd), want) }); ctl != nil {
				return ctl
			}
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := await(t, ch, "the Conn to be connected"); err != nil {
		t.Fatal(err)
	}
	if got := await(t, calls, "Control"); got != (call{"tcp4", ln.Addr().String()}) {
		t.Errorf("Control was given %v", got)
	}
	n, err := sys.RecvBuffer(get(r, c.FD))
	if err != nil || n/2 != want && n != want { // Linux doubles it, socket(7)
		t.Errorf("the receive buffer is %d, %v: Control set %d", n, err, want)
	}
	if err := kept.Control(func(uintptr) { t.Error("a descriptor after Control") }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("RawConn after Control: %v, want net.ErrClosed", err)
	}
}

func TestDialControlErrorIsTheAttempts(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	cb, ch := outcomes()
	_, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", cb, &bev.DialOptions{
		Control: func(string, string, syscall.RawConn) error { return errRefusedByControl },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := await(t, ch, "the Dial to fail"); !errors.Is(err, errRefusedByControl) {
		t.Errorf("the error is %v", err)
	}
	if n := f.count(sys.OpConnect); n != 0 {
		t.Errorf("%d connects after Control said no", n)
	}
}

func TestDialControlThatPanicsIsTheConns(t *testing.T) {
	r := run(t, nil)
	cb, ch := outcomes()
	c, err := bev.Dial(t.Context(), r.l, "tcp", "server.test:80", cb, &bev.DialOptions{
		Resolver: answers("192.0.2.1", "192.0.2.2"),
		Control:  func(string, string, syscall.RawConn) error { panic("control bug") },
	})
	if err != nil {
		t.Fatal(err)
	}
	var p *bev.PanicError
	if err := await(t, ch, "the Dial to fail"); !errors.As(err, &p) || p.Value != "control bug" {
		t.Errorf("the error is %v, want a PanicError", err)
	}
	r.wantPanic("control bug")
	r.wantClosed(c, "its Control panicked")
	if len(ch) > 0 {
		t.Errorf("told again: %v", <-ch)
	}
}

func TestDialControlMayCloseTheConn(t *testing.T) {
	for name, end := range map[string]func(r *rig, c *bev.Conn){
		"Close": func(_ *rig, c *bev.Conn) { c.Close() },
		"Abort": func(_ *rig, c *bev.Conn) { c.Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, nil)
			f := inject(t)
			cb, ch := outcomes()
			var c *bev.Conn
			release := r.hold() // until c is known
			c, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", cb, &bev.DialOptions{
				Control: func(string, string, syscall.RawConn) error { end(r, c); return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			release()
			r.wantClosed(c, "by its Control function")
			if len(ch) > 0 || f.count(sys.OpConnect) > 0 {
				t.Errorf("after Close in Control: %d events, %d connects", len(ch), f.count(sys.OpConnect))
			}
		})
	}
}

func TestDialControlGoexitEndsTheLoopAndLeaksNothing(t *testing.T) {
	r := newRig(t, nil)
	r.start(t.Context())
	cb, _ := outcomes()
	_, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", cb, &bev.DialOptions{
		Control: func(string, string, syscall.RawConn) error { runtime.Goexit(); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.wait(); err != bev.ErrGoexit {
		t.Errorf("Run returned %v, want ErrGoexit", err)
	}
}

func TestDialFromALocalAddress(t *testing.T) {
	for _, test := range []struct {
		name, listen, local, want string
		port                      bool // local gets a port of its own
	}{
		{name: "address", listen: "127.0.0.1:0", local: "127.0.0.2:0", want: "127.0.0.2"},
		{name: "any of IPv4", listen: "127.0.0.1:0", local: "0.0.0.0:0", want: "127.0.0.1"},
		{name: "any of either family, to IPv4", listen: "127.0.0.1:0", local: ":0", want: "127.0.0.1"},
		{name: "any of either family, to IPv6", listen: "[::1]:0", local: ":0", want: "::1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if strings.HasPrefix(test.listen, "[") {
				needIPv6(t)
			}
			r := run(t, nil)
			ln := netListen(t, "tcp", test.listen)
			tr := r.trace()
			c := r.dialTo(ln, tr.callbacks(everything), &bev.DialOptions{LocalAddr: test.local})
			tr.want("event connected")
			if got := get(r, c.LocalAddr).(*net.TCPAddr).IP.String(); got != test.want {
				t.Errorf("dialled from %v, want %v", got, test.want)
			}
		})
	}
}

func TestDialLocalAddressThatIsNotOurs(t *testing.T) {
	r := run(t, nil)
	cb, ch := outcomes()
	if _, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", cb, &bev.DialOptions{LocalAddr: "192.0.2.7:0"}); err != nil {
		t.Fatal(err)
	}
	err := await(t, ch, "the Dial to fail")
	var op *net.OpError
	if !errors.Is(err, syscall.EADDRNOTAVAIL) || !errors.As(err, &op) || op.Source == nil || op.Source.String() != "192.0.2.7:0" {
		t.Errorf("the error is %v, want one of bind that names the source", err)
	}
}

func TestDialUnixSockets(t *testing.T) {
	r := run(t, nil)
	dir := t.TempDir()
	path, own := filepath.Join(dir, "s"), filepath.Join(dir, "own")
	ln := netListen(t, "unix", path)
	tr := r.trace()
	networks := make(chan string, 1)
	c := r.dialTo(ln, tr.callbacks(everything), &bev.DialOptions{
		LocalAddr: own,
		Control: func(network, address string, _ syscall.RawConn) error {
			networks <- network + " " + address
			return nil
		},
	})
	r.write(c, "early")
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, nc)
	p.want("early")
	tr.want("event connected", "write")
	if got := await(t, networks, "Control"); got != "unix "+path {
		t.Errorf("Control was given %q", got)
	}
	if got := nc.RemoteAddr().String(); got != own {
		t.Errorf("dialled from %q, want %q", got, own)
	}
	p.send("reply")
	r.on(func() { c.Enable(bev.Reading) })
	tr.want("read 5")
}

func TestDialUnixPathWithoutListener(t *testing.T) {
	r := run(t, nil)
	cb, ch := outcomes()
	path := filepath.Join(t.TempDir(), "none")
	if _, err := bev.Dial(t.Context(), r.l, "unix", path, cb, nil); err != nil {
		t.Fatal(err)
	}
	if err := await(t, ch, "the Dial to fail"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v, want one that names %s and is fs.ErrNotExist", err, path)
	}
}

// A unix listener whose queue is full says EAGAIN and forgets about it.
func TestDialUnixListenerWithAFullQueue(t *testing.T) {
	r := run(t, nil)
	path := filepath.Join(t.TempDir(), "s")
	a, err := sys.ParseAddr("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := sys.Socket(sys.Unix, sys.Stream)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(fd)
	if err := sys.Bind(fd, a); err != nil {
		t.Fatal(err)
	}
	if err := sys.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	cb, ch := outcomes()
	for range 1000 {
		if _, err := bev.Dial(t.Context(), r.l, "unix", path, cb, nil); err != nil {
			t.Fatal(err)
		}
		if err := await(t, ch, "an outcome"); err != nil {
			if !errors.Is(err, syscall.EAGAIN) {
				t.Errorf("the error is %v, want EAGAIN", err)
			}
			return
		}
	}
	t.Fatal("a listener that never accepts took 1000 callers")
}

// The kernel may connect a socket to itself, when it picks the port that is
// dialled for the socket's own. Nobody listens there.
func TestDialDoesNotTakeItselfForAServer(t *testing.T) {
	r := run(t, nil)
	ap := reserve(t, netip.MustParseAddrPort("127.0.0.1:0"))
	cb, ch := outcomes()
	_, err := bev.Dial(t.Context(), r.l, "tcp", ap.String(), cb, &bev.DialOptions{
		Control: func(_, _ string, rc syscall.RawConn) (err error) {
			rc.Control(func(fd uintptr) {
				if err = sys.SetReuseAddr(int(fd), true); err == nil {
					err = sys.Bind(int(fd), sys.TCPAddr(ap))
				}
			})
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := await(t, ch, "an outcome"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the outcome is %v, want a refusal", err)
	}
}

// An empty host, or an address that is no one's, is this machine.
func TestDialThisMachine(t *testing.T) {
	r := run(t, nil)
	listens := []string{"127.0.0.1:0"}
	if hasIPv6() {
		listens = append(listens, "[::1]:0")
	}
	for _, listen := range listens {
		ln := netListen(t, "tcp", listen)
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		hosts := []string{"", "[::]"}
		if strings.HasPrefix(listen, "127") {
			hosts = append(hosts, "0.0.0.0")
		}
		for _, host := range hosts {
			cb, ch := outcomes()
			// The other family's port may be somebody else's: it is refused here.
			c, err := bev.Dial(t.Context(), r.l, "tcp", host+":"+port, cb, &bev.DialOptions{
				Control: func(_, address string, _ syscall.RawConn) error {
					if address != ln.Addr().String() {
						return errRefusedByControl
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := await(t, ch, "an outcome"); err != nil {
				t.Errorf("Dial %q with a listener at %s: %v", host+":"+port, listen, err)
			}
			r.on(func() { c.Close() })
		}
	}
}

// Each system call of an attempt that fails is that attempt's error, and
// leaves nothing.
func TestDialReportsEachFailingCall(t *testing.T) {
	for _, test := range []struct {
		op    sys.Op
		errno syscall.Errno
		skip  int
		o     bev.DialOptions
	}{
		{op: sys.OpSocket, errno: syscall.EMFILE},
		{op: sys.OpSetsockopt, errno: syscall.ENOPROTOOPT},
		{op: sys.OpSetsockopt, errno: syscall.ENOPROTOOPT, skip: 1},
		{op: sys.OpBind, errno: syscall.EADDRINUSE, o: bev.DialOptions{LocalAddr: "127.0.0.1:0"}},
		{op: sys.OpConnect, errno: syscall.EADDRNOTAVAIL},
		{op: sys.OpEpollCtl, errno: syscall.ENOSPC},
	} {
		t.Run(test.op.String(), func(t *testing.T) {
			r := run(t, nil)
			ln := netListen(t, "tcp4", "127.0.0.1:0")
			f := inject(t)
			f.add(&fault{op: test.op, fd: anyFD, skip: test.skip, times: 1, limit: -1, err: test.errno})
			cb, ch := outcomes()
			if _, err := bev.Dial(t.Context(), r.l, "tcp", ln.Addr().String(), cb, &test.o); err != nil {
				t.Fatal(err)
			}
			if err := await(t, ch, "an outcome"); !errors.Is(err, test.errno) || !strings.Contains(err.Error(), ln.Addr().String()) {
				t.Errorf("the outcome is %v, want %v and the address", err, test.errno)
			}
		})
	}
}

// The descriptor of the winner is handed to the Conn; that, too, can fail.
func TestDialGoesOnWhenTheWinnerCannotBeWatched(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	f := inject(t)
	// Add for the first attempt works, Modify for the Conn does not.
	f.add(&fault{op: sys.OpEpollCtl, fd: anyFD, skip: 1, times: 1, limit: -1, err: syscall.ENOMEM})
	_, tr := r.dialName(t.Context(), "tcp", ln, &bev.DialOptions{
		AttemptDelay: time.Hour, Resolver: answers("127.0.0.1", "127.0.0.2"),
		Control: func(_, address string, _ syscall.RawConn) error {
			if strings.HasPrefix(address, "127.0.0.2") {
				return errRefusedByControl
			}
			return nil
		},
	})
	line, _ := tr.next()
	if !strings.Contains(line, "cannot allocate memory") || !strings.Contains(line, errRefusedByControl.Error()) {
		t.Errorf("told %q, want both reasons", line)
	}
}

// The poller may report readiness for no reason; the socket knows better.
func TestDialSurvivesFalseReadiness(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	// A socket that has not begun to connect is called writable and hung up.
	stuck := hang(f, 1)
	cb, ch := outcomes()
	c, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", cb, nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the socket to be asked", func() bool { return f.struck(stuck) == 1 && f.count(sys.OpGetpeername) > 0 })
	r.wantIdle("the attempt hangs")
	if len(ch) > 0 {
		t.Errorf("told %v", <-ch)
	}
	r.on(func() { c.Close() })
}

func TestDialBadArgumentsAreErrorsOfTheCall(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct {
		network, addr string
		o             *bev.DialOptions
		want          string
	}{
		{"udp", "192.0.2.1:80", nil, "unknown network udp"},
		{"tcp", "127.0.0.1", nil, "missing port in address"},
		{"tcp", "server.test", nil, "missing port in address"},
		{"tcp", "server.test:nosuchservice", nil, "unknown port"},
		{"tcp", "server.test:70000", nil, "invalid port"},
		{"tcp", "192.0.2.1:70000", nil, "invalid port"},
		{"tcp", "1.2.3:80", nil, "not an IP address"},
		{"tcp4", "[2001:db8::1]:80", nil, "not an address of tcp4"},
		{"tcp6", "192.0.2.1:80", nil, "not an address of tcp6"},
		{"unix", "", nil, "empty unix socket path"},
		{"tcp", "192.0.2.1:80", &bev.DialOptions{LocalAddr: "server.test:0"}, "not a numeric address"},
		{"tcp", "192.0.2.1:80", &bev.DialOptions{LocalAddr: "127.0.0.1"}, "missing port"},
		{"tcp", "192.0.2.1:80", &bev.DialOptions{LocalAddr: "[::1]:0"}, "family of LocalAddr"},
		{"tcp", "192.0.2.1:80", &bev.DialOptions{Conn: &bev.ConnOptions{ReadWatermark: bev.Watermark{Low: 2, High: 1}}}, "low 2 is above high 1"},
	} {
		cb, ch := outcomes()
		c, err := bev.Dial(t.Context(), r.l, test.network, test.addr, cb, test.o)
		if err == nil || c != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Dial %s %q %+v: %v, %v, want %q", test.network, test.addr, test.o, c, err, test.want)
		}
		r.settle()
		if len(ch) > 0 {
			t.Errorf("Dial %s %q returned an error and told %v", test.network, test.addr, <-ch)
		}
	}
}

func TestDialNeedsAContext(t *testing.T) {
	l, err := bev.NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer func() {
		if v := recover(); v == nil || !strings.Contains(v.(string), "bev: Dial needs a context") {
			t.Errorf("recovered %v", v)
		}
	}()
	//lint:ignore SA1012 that is what is tested
	bev.Dial(nil, l, "tcp", "192.0.2.1:80", bev.Callbacks{}, nil)
}

// Dial on the loop itself: the outcome comes after the call has returned, even
// where the kernel knows it at once.
func TestDialNeverTellsFromInsideTheCall_Libevent597(t *testing.T) {
	r := run(t, nil)
	unix := netListen(t, "unix", filepath.Join(t.TempDir(), "s"))
	for _, addr := range [][2]string{{"unix", unix.Addr().String()}, {"unix", "/nonexistent/path"}, {"tcp", "192.0.2.1:80"}} {
		tr := r.trace()
		r.on(func() {
			_, err := bev.Dial(context.Background(), r.l, addr[0], addr[1], bev.Callbacks{Event: func(*bev.Conn, bev.Event, error) {
				tr.add("told")
			}}, &bev.DialOptions{Control: func(network, _ string, _ syscall.RawConn) error {
				if network == "tcp4" {
					return errRefusedByControl
				}
				return nil
			}})
			tr.add("returned %v", err)
		})
		tr.want("returned <nil>", "told")
		tr.wantNothing("one outcome")
	}
}

func TestDialIntoAClosedLoop(t *testing.T) {
	r := newRig(t, nil)
	r.l.Close()
	cb, ch := outcomes()
	if _, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", cb, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial: %v, want net.ErrClosed", err)
	}
	if len(ch) > 0 {
		t.Errorf("told %v", <-ch)
	}
}

// A Dial that the loop never got to: closing the Loop closes the Conn.
func TestDialThatTheLoopNeverBegan(t *testing.T) {
	r := newRig(t, nil)
	cb, ch := outcomes()
	c, err := bev.Dial(t.Context(), r.l, "tcp", "server.test:80", cb, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.l.Close()
	if !c.Closed() || len(ch) > 0 {
		t.Errorf("closed: %v, told %d events", c.Closed(), len(ch))
	}
}

// Closing a Conn before the loop has begun its Dial.
func TestDialClosedBeforeItBegan(t *testing.T) {
	r := newRig(t, nil)
	f := inject(t)
	cb, ch := outcomes()
	c, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", cb, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	r.start(t.Context())
	if s := r.settle(); s.Opened != 0 || f.count(sys.OpSocket) != 0 || len(ch) > 0 {
		t.Errorf("%d Conns opened, %d sockets, %d events", s.Opened, f.count(sys.OpSocket), len(ch))
	}
	r.l.Stop()
	r.wait()
}

// What is written before the Conn is connected is sent even by a
// CloseAfterFlush that comes before it, too.
func TestDialCloseAfterFlushSendsWhatWasWritten(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	tell := make(chan struct{})
	c, tr := r.dialName(t.Context(), "tcp", ln, &bev.DialOptions{
		Resolver: resolver(func(context.Context, string, string) ([]netip.Addr, error) {
			<-tell
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}),
	})
	r.on(func() {
		c.WriteString("last words")
		c.CloseAfterFlush(-1)
	})
	close(tell)
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, nc)
	p.want("last words")
	p.wantEOF("CloseAfterFlush")
	p.close()
	r.wantClosed(c, "both ends have said all")
	tr.wantNothing("nothing is told after CloseAfterFlush")
}

// Winning is handing a descriptor over: what became ready while the attempt had
// it is ready for the Conn.
func TestDialHandsReadinessOver(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	asked, greeted := make(chan struct{}, 1), make(chan struct{})
	ask := sync.OnceFunc(func() { asked <- struct{}{}; <-greeted })
	restore := sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
		if op == sys.OpGetpeername { // connected: the loop is about to hand over
			ask()
		}
		return -1, nil
	})
	defer restore()
	tr := r.trace()
	cb := tr.callbacks(everything)
	cb.Event = func(c *bev.Conn, what bev.Event, err error) {
		c.Enable(bev.Reading)
		tr.event(c, what, err)
	}
	r.dialTo(ln, cb, nil)
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, nc)
	await(t, asked, "the loop to look at the attempt")
	p.send("greeting")
	p.halfClose()
	close(greeted)
	if before := tr.until("event reading|eof"); before[0] != "event connected" {
		t.Errorf("lines %q, want connected first", before)
	}
	tr.wantData("greeting")
}
