//go:build unix

package bev_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

func TestListenServesOnEveryNetwork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	tests := []struct{ network, addr, dial string }{
		{"tcp", "127.0.0.1:0", ""},
		{"tcp4", "127.0.0.1:0", ""},
		{"tcp", ":0", "127.0.0.1"},
		{"unix", path, ""},
	}
	if hasIPv6() {
		tests = append(tests, []struct{ network, addr, dial string }{{"tcp6", "[::1]:0", ""}, {"tcp", "[::]:0", "::1"}, {"tcp", "[::]:0", "127.0.0.1"}}...)
	}
	if runtime.GOOS == "linux" {
		tests = append(tests, struct{ network, addr, dial string }{"unix", "@bev-" + filepath.Base(t.TempDir()) + fmt.Sprint(os.Getpid()), ""})
	}
	for _, test := range tests {
		t.Run(test.network+" "+test.addr, func(t *testing.T) {
			r := run(t, nil)
			ln := r.listen(test.network, test.addr, echo, nil)
			addr := ln.Addr().String()
			if test.dial != "" {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					t.Fatal(err)
				}
				addr = net.JoinHostPort(test.dial, port)
			}
			nc, err := net.Dial(ln.Addr().Network(), addr)
			if err != nil {
				t.Fatal(err)
			}
			p := newPeer(t, nc)
			p.sendN(1000)
			p.wantN(1000)
		})
	}
}

func TestAcceptRunsBeforeAnyInputAndCallbacksAfterIt(t *testing.T) {
	for _, deferred := range []bool{false, true} {
		r := run(t, nil)
		tr := r.trace()
		release := r.hold()
		ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
			cb := tr.callbacks(everything)
			c.SetCallbacks(cb)
			c.Enable(bev.Reading)
			c.WriteString("hello")
			if c.Flush(bev.Writing, bev.FlushNormal) {
				t.Error("Flush in the accept function has sent something")
			}
			c.Trigger(bev.Reading, 0)
			c.TriggerEvent(bev.EventTimeout, os.ErrDeadlineExceeded)
			tr.add("accept returns, %d bytes in Input, %d in Output", c.Input().Len(), c.Output().Len())
		}, &bev.ListenOptions{Conn: &bev.ConnOptions{DeferCallbacks: deferred}})
		p := r.call(ln)
		p.send("abc") // is there before accept
		release()
		tr.want("accept returns, 0 bytes in Input, 5 in Output")
		p.want("hello")
		got := map[string]bool{}
		for !got["write"] || !got["event timeout"] || !got["read 3"] {
			line, ok := tr.next()
			if !ok {
				t.Fatalf("after accept: %q", tr.lines())
			}
			got[line] = true
		}
	}
}

func TestAcceptedConnKnowsItsAddresses(t *testing.T) {
	r := run(t, nil)
	c, p := r.accept(nil, nil)
	r.on(func() {
		if l, w := c.LocalAddr().String(), p.RemoteAddr().String(); l != w {
			t.Errorf("LocalAddr is %s, the peer says %s", l, w)
		}
		if a, w := c.RemoteAddr().String(), p.LocalAddr().String(); a != w {
			t.Errorf("RemoteAddr is %s, the peer says %s", a, w)
		}
	})
}

func TestPauseLeavesCallersInTheQueueAndResumeTakesThem(t *testing.T) {
	for _, how := range []string{"option", "method", "in accept"} {
		t.Run(how, func(t *testing.T) {
			r := run(t, nil)
			tr := r.trace()
			var ln *bev.Listener
			accept := func(c *bev.Conn) {
				echo(c)
				if how == "in accept" {
					if err := ln.Pause(); err != nil {
						t.Errorf("Pause: %v", err)
					}
				}
				tr.add("accept")
			}
			release := r.hold()
			ln = r.listen("tcp", "127.0.0.1:0", accept, &bev.ListenOptions{Paused: how == "option"})
			if how == "method" {
				if err := ln.Pause(); err != nil {
					t.Fatalf("Pause: %v", err)
				}
			}
			var waiting []*peer
			for range 3 {
				p := r.call(ln)
				p.sendN(10)
				waiting = append(waiting, p)
			}
			release()
			if how == "in accept" {
				tr.want("accept")
			}
			tr.wantNothing("the Listener is paused")
			r.wantIdle("callers wait, and the Listener is paused")
			for i := 0; i < len(waiting); {
				if err := ln.Resume(); err != nil {
					t.Fatalf("Resume: %v", err)
				}
				if how == "in accept" {
					if i++; i < len(waiting) {
						tr.want("accept")
					}
				} else {
					tr.want("accept", "accept", "accept")
					i = len(waiting)
				}
			}
			for _, p := range waiting {
				p.wantN(10)
			}
			if how != "in accept" {
				p := r.call(ln)
				p.sendN(10)
				p.wantN(10)
				tr.want("accept")
			}
		})
	}
}

func TestListenerCloseLeavesItsConnsAlone(t *testing.T) {
	r := run(t, nil)
	path := filepath.Join(t.TempDir(), "socket")
	for _, addr := range []struct{ network, addr string }{{"tcp", "127.0.0.1:0"}, {"unix", path}} {
		ln := r.listen(addr.network, addr.addr, echo, nil)
		p := r.call(ln)
		p.sendN(10)
		p.wantN(10)
		if err := ln.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		for name, err := range map[string]error{"Close": ln.Close(), "Pause": ln.Pause(), "Resume": ln.Resume()} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s of a closed Listener: %v, want net.ErrClosed", name, err)
			}
		}
		r.settle()
		if nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String()); err == nil {
			nc.Close()
			t.Fatal("somebody still listens")
		}
		p.sendN(10)
		p.wantN(10)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the path of a closed Listener: %v", err)
	}
	// The path is free again.
	r.listen("unix", path, echo, nil)
}

func TestListenerClosedInItsAcceptFunctionTakesNobodyMore(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	release := r.hold()
	var ln *bev.Listener
	ln = r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		tr.add("accept")
		echo(c)
		if err := ln.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}, nil)
	first, second := r.call(ln), r.call(ln)
	release()
	tr.want("accept")
	tr.wantNothing("the Listener is closed")
	first.sendN(10)
	first.wantN(10)
	second.wantReset("nobody took the call")
}

func TestListenerClosedBeforeItBegan(t *testing.T) {
	for _, then := range []string{"the Loop is closed", "the Loop runs"} {
		r := newRig(t, nil)
		ln := r.listen("tcp", "127.0.0.1:0", func(*bev.Conn) { t.Error("accepted") }, nil)
		if err := ln.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		if then == "the Loop runs" {
			r.l.Post(r.l.Stop)
			if err := r.l.Run(t.Context()); err != nil {
				t.Fatalf("Run: %v", err)
			}
		}
		if err := r.l.Close(); err != nil {
			t.Fatalf("Loop.Close: %v", err)
		}
		if nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String()); err == nil {
			nc.Close()
			t.Fatal("somebody still listens")
		}
	}
}

func TestACrowdOfCallersLetsOthersHaveTheirTurn(t *testing.T) {
	const callers = 4 * bev.AcceptsPerTurn
	r := run(t, nil)
	release := r.hold()
	ln := r.listen("unix", filepath.Join(t.TempDir(), "s"), func(*bev.Conn) {}, nil)
	for range callers {
		r.call(ln)
	}
	// A call in each tick sees how many were accepted by then.
	var seen []uint64
	done := make(chan struct{})
	var look func()
	look = func() {
		if n := r.l.Stats().Opened; n < callers {
			seen = append(seen, n)
			r.l.Post(look)
			return
		}
		close(done)
	}
	r.l.Post(look)
	release()
	await(t, done, "all callers to be accepted")
	if last := seen[len(seen)-1]; last == 0 {
		t.Fatalf("all %d callers were accepted before anybody else had a turn", callers)
	}
}

func TestListenRefusesArgumentsThatAreWrong(t *testing.T) {
	r := run(t, nil)
	taken := r.listen("tcp", "127.0.0.1:0", echo, nil)
	path := filepath.Join(t.TempDir(), "socket")
	r.listen("unix", path, echo, nil)
	for _, test := range []struct {
		network, addr string
		opts          *bev.ListenOptions
		want          error  // nil: any
		says          string // part of the text
	}{
		{"udp", "127.0.0.1:0", nil, nil, "udp"},
		{"tcp", "127.0.0.1", nil, nil, "127.0.0.1"},
		{"tcp", "127.0.0.1:no-such-service", nil, nil, ""},
		{"tcp", "host.example:0", nil, nil, "numeric address"},
		{"tcp4", "[::1]:0", nil, nil, ""},
		{"tcp", taken.Addr().String(), nil, syscall.EADDRINUSE, "listen tcp " + taken.Addr().String() + ": bind: "},
		{"tcp", "192.0.2.1:0", nil, syscall.EADDRNOTAVAIL, "listen tcp 192.0.2.1:0: bind: "},
		{"unix", path, nil, syscall.EADDRINUSE, "listen unix " + path + ": bind: "},
		{"unix", filepath.Join(path, "no", "such"), nil, nil, ""},
		{"unix", filepath.Join(t.TempDir(), "s"), &bev.ListenOptions{ReusePort: true}, nil, "ReusePort is for TCP"},
		{"unix", strings.Repeat("x", 200), nil, nil, ""},
	} {
		ln, err := bev.Listen(r.l, test.network, test.addr, func(*bev.Conn) {}, test.opts)
		var oe *net.OpError
		if ln != nil || !errors.As(err, &oe) || oe.Op != "listen" || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("Listen(%s, %s): a Listener: %v, error %v, want %v %s", test.network, test.addr, ln != nil, err, test.want, test.says)
		}
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("a Listen that failed has removed another's path: %v", err)
	}
}

func TestListenReportsEachFailingCall(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	for _, test := range []struct {
		op   sys.Op
		skip int
		opts *bev.ListenOptions
	}{
		{sys.OpSocket, 0, nil}, {sys.OpSetsockopt, 0, nil}, {sys.OpSetsockopt, 1, nil}, {sys.OpSetsockopt, 2, nil},
		{sys.OpSetsockopt, 1, &bev.ListenOptions{ReusePort: true}},
		{sys.OpSetsockopt, 0, &bev.ListenOptions{NoReuseAddr: true}},
		{sys.OpBind, 0, nil}, {sys.OpListen, 0, nil}, {sys.OpGetsockname, 0, nil},
	} {
		f.add(&fault{op: test.op, fd: anyFD, skip: test.skip, times: 1, limit: -1, err: syscall.ENOBUFS})
		ln, err := bev.Listen(r.l, "tcp", "127.0.0.1:0", func(*bev.Conn) {}, test.opts)
		if ln != nil || !errors.Is(err, syscall.ENOBUFS) {
			t.Errorf("%v fails: a Listener: %v, error %v", test.op, ln != nil, err)
		}
	}
	if hasIPv6() {
		f.add(&fault{op: sys.OpSetsockopt, fd: anyFD, skip: 1, times: 1, limit: -1, err: syscall.ENOBUFS})
		if _, err := bev.Listen(r.l, "tcp6", "[::1]:0", func(*bev.Conn) {}, nil); !errors.Is(err, syscall.ENOBUFS) {
			t.Errorf("IPV6_V6ONLY fails: %v", err)
		}
	}
}

func TestAListenerThatCannotBeWatchedSaysSo(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	f.fail(sys.OpEpollCtl, anyFD, syscall.ENOSPC)
	told := make(chan error, 1)
	ln := r.listen("tcp", "127.0.0.1:0", func(*bev.Conn) {}, &bev.ListenOptions{OnError: func(err error) { told <- err }})
	if err := await(t, told, "OnError"); !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "bev: ") {
		t.Fatalf("OnError was told %v", err)
	}
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Close: %v, want net.ErrClosed", err)
	}
	// Where nobody listens for it, the log hears.
	f.fail(sys.OpEpollCtl, anyFD, syscall.ENOSPC)
	r.listen("tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil)
	r.settle()
	if n := len(r.log.lines("level=ERROR")); n != 1 {
		t.Fatalf("%d lines in the log, want 1", n)
	}
}

func TestAListenerThatCannotBeClosedIsLogged(t *testing.T) {
	r := run(t, nil)
	ln := r.listen("tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil)
	r.settle()
	f := inject(t)
	f.fail(sys.OpClose, anyFD, syscall.EIO)
	if err := ln.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	r.settle()
	if n := len(r.log.lines("closing a listener")); n != 1 {
		t.Fatalf("%d lines in the log, want 1", n)
	}
}

func TestReusePortSharesAPort(t *testing.T) {
	r := run(t, nil)
	share := &bev.ListenOptions{ReusePort: true}
	var counts [2]atomic.Int32
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) { counts[0].Add(1); echo(c) }, share)
	r.listen("tcp", ln.Addr().String(), func(c *bev.Conn) { counts[1].Add(1); echo(c) }, share)
	if _, err := bev.Listen(r.l, "tcp", ln.Addr().String(), echo, nil); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("a third one that does not share: %v, want EADDRINUSE", err)
	}
	witness(t, "callers at both", func() bool {
		p := r.call(ln)
		p.sendN(10)
		p.wantN(10)
		p.close()
		return counts[0].Load() > 0 && counts[1].Load() > 0
	})
}

func TestListenOptionsReachTheSocket(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct {
		opts               bev.ListenOptions
		reuseAddr, reuseup bool
	}{
		{bev.ListenOptions{}, true, false},
		{bev.ListenOptions{NoReuseAddr: true, Backlog: -1}, false, false},
		{bev.ListenOptions{ReusePort: true, Backlog: 5}, true, true},
	} {
		ln := r.listen("tcp", "127.0.0.1:0", echo, &test.opts)
		r.on(func() {
			if on := option(t, ln.FD(), syscall.SOL_SOCKET, syscall.SO_REUSEADDR) != 0; on != test.reuseAddr {
				t.Errorf("%+v: SO_REUSEADDR is %v", test.opts, on)
			}
		})
		p := r.call(ln)
		p.sendN(10)
		p.wantN(10)
	}
}

func TestAServerCanStartAgainWhileItsConnectionsLinger(t *testing.T) {
	r := run(t, nil)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) { c.CloseAfterFlush(0) }, nil)
	p := r.call(ln)
	p.wantEOF("the server ends first") // and so has TIME_WAIT
	p.close()
	r.until(func() bool { return r.l.Stats().Conns == 0 }, "the connection to be closed")
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	r.settle()
	r.listen("tcp", addr, echo, nil)
}

func TestOptionsOfAListenerAreCopied(t *testing.T) {
	r := run(t, nil)
	o := &bev.ConnOptions{OutputLimit: 5}
	lo := &bev.ListenOptions{Conn: o}
	accepted := make(chan *bev.Conn, 1)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) { accepted <- c }, lo)
	o.OutputLimit = 7
	*lo = bev.ListenOptions{}
	r.call(ln)
	c := await(t, accepted, "a caller")
	if n := get(r, c.OutputLimit); n != 5 {
		t.Fatalf("OutputLimit is %d, want the 5 that Listen was given", n)
	}
}

// libevent had a deadlock here (issue 1226).
func TestPauseFromAnotherGoroutineWhileAcceptRuns(t *testing.T) {
	r := run(t, nil)
	listener := make(chan *bev.Listener, 1)
	accepted := make(chan error, 1)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		ln := <-listener
		paused := make(chan error)
		go func() { paused <- ln.Pause() }()
		accepted <- <-paused
		c.Close()
	}, nil)
	listener <- ln
	r.call(ln)
	if err := await(t, accepted, "Pause to return while the accept function waits for it"); err != nil {
		t.Errorf("Pause: %v", err)
	}
	r.call(ln)
	r.settle()
	if n := ln.Stats().Accepted; n != 1 {
		t.Errorf("%d callers were accepted, want the one who came before Pause", n)
	}
}
