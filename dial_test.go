//go:build unix

package bev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// No test here leaves this machine, and none waits for time: resolvers are
// functions, a hang is a connect that the fault hook never lets begin, and an
// hour passes when the test says so (skip).

// resolver is a bev.Resolver that is a function.
type resolver func(ctx context.Context, network, host string) ([]netip.Addr, error)

func (f resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return f(ctx, network, host)
}

// answers is a Resolver that knows one answer.
func answers(addrs ...string) resolver {
	return func(context.Context, string, string) ([]netip.Addr, error) {
		found := make([]netip.Addr, len(addrs))
		for i, a := range addrs {
			found[i] = netip.MustParseAddr(a)
		}
		return found, nil
	}
}

// skip has the clock of the loop jump ahead.
func (r *rig) skip(d time.Duration) {
	r.t.Helper()
	r.on(func() { r.l.SkipTime(d) })
	r.settle()
}

// dialName dials a name, with the port of ln, and records what it hears.
func (r *rig) dialName(ctx context.Context, network string, ln net.Listener, o *bev.DialOptions) (*bev.Conn, *trace) {
	r.t.Helper()
	tr := r.trace()
	port := "1"
	if ln != nil {
		_, port, _ = net.SplitHostPort(ln.Addr().String())
	}
	c, err := bev.Dial(ctx, r.l, network, net.JoinHostPort("server.test", port), tr.callbacks(everything), o)
	if err != nil {
		r.t.Fatalf("Dial: %v", err)
	}
	return c, tr
}

// order records the addresses that a Dial tries, by its Control function, and
// refuses each.
type order struct {
	mu    sync.Mutex
	addrs []string
}

var errRefusedByControl = errors.New("not this one")

func (o *order) control(network, address string, _ syscall.RawConn) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	host, _, _ := net.SplitHostPort(address)
	o.addrs = append(o.addrs, network+" "+host)
	return errRefusedByControl
}

// keepOpen reads nothing and reports the outcome: a helper for callbacks that
// want the error itself.
func outcomes() (cb bev.Callbacks, ch chan error) {
	ch = make(chan error, 8)
	return bev.Callbacks{Event: func(_ *bev.Conn, what bev.Event, err error) {
		if what == bev.EventConnected {
			ch <- nil
			return
		}
		ch <- fmt.Errorf("%v: %w", what, err)
	}}, ch
}

func TestDialLooksUpNamesOffTheLoop(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	asked, tell := make(chan string, 1), make(chan struct{})
	c, tr := r.dialName(t.Context(), "tcp", ln, &bev.DialOptions{
		Resolver: resolver(func(_ context.Context, network, host string) ([]netip.Addr, error) {
			asked <- network + " " + host
			<-tell
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}),
	})
	if got := await(t, asked, "the Resolver to be asked"); got != "ip server.test" {
		t.Errorf("the Resolver was asked for %q", got)
	}
	const want = bev.ReasonConnecting | bev.ReasonLookup
	r.wantSuspended(c, bev.Writing, want, "while the name is looked up")
	r.wantSuspended(c, bev.Reading, want|bev.ReasonDisabled, "while the name is looked up")
	r.write(c, "early")
	tr.wantNothing("the name is being looked up")
	close(tell)
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, nc)
	p.want("early")
	tr.want("event connected", "write")
	r.wantSuspended(c, bev.Writing, 0, "connected")
	p.send("reply")
	r.on(func() { c.Enable(bev.Reading) })
	tr.want("read 5")
	if got := get(r, c.RemoteAddr).String(); got != ln.Addr().String() {
		t.Errorf("RemoteAddr is %v, want %v", got, ln.Addr())
	}
}

func TestDialWithoutAResolverAsksTheSystem(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	cb, ch := outcomes()
	if _, err := bev.Dial(t.Context(), r.l, "tcp4", "localhost:"+port, cb, nil); err != nil {
		t.Fatal(err)
	}
	if err := await(t, ch, "localhost to be connected"); err != nil {
		t.Fatal(err)
	}
}

// The goroutine of a lookup ends with the lookup: while the Conn connects, and
// afterwards, bev has none but the loop's.
func TestDialKeepsNoGoroutineWhileConnecting(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	f.failTimes(-1, sys.OpConnect, anyFD, syscall.EINPROGRESS)
	_, tr := r.dialName(t.Context(), "tcp", nil, &bev.DialOptions{Resolver: answers("127.0.0.1")})
	eventually(t, "the attempt to begin", func() bool { return f.count(sys.OpConnect) == 1 })
	eventually(t, "the lookup's goroutine to end", func() bool {
		buf := make([]byte, 1<<20)
		return !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "dialing")
	})
	tr.wantNothing("the attempt hangs")
}

func TestDialTriesEveryAddress_Libevent263(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	f := inject(t)
	f.failTimes(2, sys.OpConnect, anyFD, syscall.ECONNREFUSED)
	_, tr := r.dialName(t.Context(), "tcp", ln, &bev.DialOptions{
		// No delay would get there in the time of a test: it is the failures.
		AttemptDelay: time.Hour,
		Resolver:     answers("127.0.0.3", "127.0.0.2", "127.0.0.1"),
	})
	tr.want("event connected")
	tr.wantNothing("failed attempts before the one that succeeded are not told")
	if n := f.count(sys.OpConnect); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
}

// A port that is bound and not listened on refuses, and nobody else can have it.
func TestDialIsRefusedByTheKernelAndGoesOn(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	port := ln.Addr().(*net.TCPAddr).AddrPort().Port()
	reserve(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port))
	_, tr := r.dialName(t.Context(), "tcp", ln, &bev.DialOptions{
		AttemptDelay: time.Hour,
		Resolver:     answers("127.0.0.2", "127.0.0.1"),
	})
	tr.want("event connected")
}

// reserve binds a TCP port for the length of the test, without listening.
func reserve(t *testing.T, ap netip.AddrPort) netip.AddrPort {
	t.Helper()
	a := sys.TCPAddr(ap)
	fd, err := sys.Socket(a.Family(), sys.Stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close(fd) })
	if err := sys.SetReuseAddr(fd, true); err != nil {
		t.Fatal(err)
	}
	if err := sys.Bind(fd, a); err != nil {
		t.Fatal(err)
	}
	bound, err := sys.LocalAddr(fd)
	if err != nil {
		t.Fatal(err)
	}
	return bound.AddrPort()
}

func TestDialJoinsTheTrueErrorOfEachAttempt(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	errnos := []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH}
	for _, errno := range errnos {
		f.fail(sys.OpConnect, anyFD, errno)
	}
	cb, ch := outcomes()
	addrs := []string{"192.0.2.1", "2001:db8::2", "192.0.2.3"}
	c, err := bev.Dial(t.Context(), r.l, "tcp", "server.test:80", cb, &bev.DialOptions{Resolver: answers(addrs...)})
	if err != nil {
		t.Fatal(err)
	}
	err = await(t, ch, "the Dial to fail")
	for i, errno := range errnos {
		if !errors.Is(err, errno) {
			t.Errorf("errors.Is does not find %v in %v", errno, err)
		}
		text := netip.AddrPortFrom(netip.MustParseAddr(addrs[i]), 80).String() + ": connect: " + errno.Error()
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the text has no %q: %v", text, err)
		}
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" || op.Net != "tcp" || op.Addr.String() != "server.test:80" {
		t.Errorf("not a *net.OpError of dialling server.test:80 on tcp: %#v", op)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the text has more than one line: %q", err)
	}
	if what, _, _ := strings.Cut(err.Error(), ":"); what != "error" {
		t.Errorf("the event was %q, want error alone", what)
	}
	r.settle()
	if n := len(ch); n > 0 {
		t.Errorf("%d more outcomes were told", n)
	}
	r.on(func() {
		if _, err := c.WriteString("x"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after a failed Dial: %v, want net.ErrClosed", err)
		}
	})
}

func TestDialToOneNumericAddressHasPackageNetsError(t *testing.T) {
	r := run(t, nil)
	ap := reserve(t, netip.MustParseAddrPort("127.0.0.1:0"))
	cb, ch := outcomes()
	if _, err := bev.Dial(t.Context(), r.l, "tcp", ap.String(), cb, nil); err != nil {
		t.Fatal(err)
	}
	err := await(t, ch, "the Dial to fail")
	_, netErr := net.Dial("tcp", ap.String())
	if want := "error: " + netErr.Error(); err.Error() != want {
		t.Errorf("the error is %q, want %q", err, want)
	}
}

func TestDialInterleavesTheFamilies(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct {
		name    string
		network string
		o       bev.DialOptions
		addrs   []string
		want    []string
	}{
		{
			name: "the first family is the resolver's", network: "tcp",
			addrs: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"},
			want:  []string{"tcp4 192.0.2.1", "tcp6 2001:db8::1", "tcp4 192.0.2.2", "tcp6 2001:db8::2", "tcp4 192.0.2.3"},
		},
		{
			name: "IPv6 first", network: "tcp",
			addrs: []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"},
			want:  []string{"tcp6 2001:db8::1", "tcp4 192.0.2.1", "tcp6 2001:db8::2", "tcp6 2001:db8::3"},
		},
		{
			name: "mixed by the resolver", network: "tcp",
			addrs: []string{"2001:db8::1", "192.0.2.1", "192.0.2.2", "2001:db8::2"},
			want:  []string{"tcp6 2001:db8::1", "tcp4 192.0.2.1", "tcp6 2001:db8::2", "tcp4 192.0.2.2"},
		},
		{
			name: "tcp4", network: "tcp4",
			addrs: []string{"2001:db8::1", "192.0.2.1", "192.0.2.2"},
			want:  []string{"tcp4 192.0.2.1", "tcp4 192.0.2.2"},
		},
		{
			name: "tcp6", network: "tcp6",
			addrs: []string{"192.0.2.1", "2001:db8::1", "2001:db8::2"},
			want:  []string{"tcp6 2001:db8::1", "tcp6 2001:db8::2"},
		},
		{
			name: "the family of LocalAddr", network: "tcp", o: bev.DialOptions{LocalAddr: "127.0.0.1:0"},
			addrs: []string{"2001:db8::1", "192.0.2.1", "192.0.2.2"},
			want:  []string{"tcp4 192.0.2.1", "tcp4 192.0.2.2"},
		},
		{
			name: "a local port of either family", network: "tcp", o: bev.DialOptions{LocalAddr: ":0"},
			addrs: []string{"2001:db8::1", "192.0.2.1"},
			want:  []string{"tcp6 2001:db8::1", "tcp4 192.0.2.1"},
		},
		{
			name: "once each, IPv4 in IPv6 form is IPv4", network: "tcp",
			addrs: []string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.2"},
			want:  []string{"tcp4 192.0.2.1", "tcp6 2001:db8::1", "tcp4 192.0.2.2"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, seen := test.o, new(order)
			o.Resolver, o.Control = answers(test.addrs...), seen.control
			cb, ch := outcomes()
			if _, err := bev.Dial(t.Context(), r.l, test.network, "server.test:80", cb, &o); err != nil {
				t.Fatal(err)
			}
			if err := await(t, ch, "the Dial to fail"); !errors.Is(err, errRefusedByControl) {
				t.Errorf("the error is not the Control function's: %v", err)
			}
			if !slices.Equal(seen.addrs, test.want) {
				t.Errorf("tried %q, want %q", seen.addrs, test.want)
			}
		})
	}
}

func TestDialAsksForTheFamilyThatItWants(t *testing.T) {
	r := run(t, nil)
	for network, want := range map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"} {
		asked := make(chan string, 1)
		_, tr := r.dialName(t.Context(), network, nil, &bev.DialOptions{
			Resolver: resolver(func(_ context.Context, network, _ string) ([]netip.Addr, error) {
				asked <- network
				return nil, syscall.EIO
			}),
		})
		if got := await(t, asked, "the Resolver to be asked"); got != want {
			t.Errorf("for %s the Resolver was asked for %q, want %q", network, got, want)
		}
		tr.want("event error: I/O error")
	}
}

func TestDialFailsWhereTheNameLeadsNowhere(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct {
		name string
		o    bev.DialOptions
		want string
		is   func(error) bool
	}{
		{
			"the Resolver says why", bev.DialOptions{Resolver: resolver(func(context.Context, string, string) ([]netip.Addr, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "server.test", IsNotFound: true}
			})},
			"error: dial tcp server.test:80: lookup server.test: no such host",
			func(err error) bool { var d *net.DNSError; return errors.As(err, &d) && d.IsNotFound },
		},
		{
			"no addresses and no error", bev.DialOptions{Resolver: answers()},
			"error: dial tcp server.test:80: lookup server.test: no such host",
			func(err error) bool { var d *net.DNSError; return errors.As(err, &d) && d.IsNotFound },
		},
		{
			"none of a family that fits", bev.DialOptions{Resolver: answers("2001:db8::1"), LocalAddr: "127.0.0.1:0"},
			`LocalAddr "127.0.0.1:0"`, func(error) bool { return true },
		},
		{
			"Goexit", bev.DialOptions{Resolver: resolver(func(context.Context, string, string) ([]netip.Addr, error) {
				runtime.Goexit()
				return nil, nil
			})}, "Goexit", func(error) bool { return true },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			cb, ch := outcomes()
			if _, err := bev.Dial(t.Context(), r.l, "tcp", "server.test:80", cb, &test.o); err != nil {
				t.Fatal(err)
			}
			err := await(t, ch, "the Dial to fail")
			if !strings.Contains(err.Error(), test.want) || !test.is(err) {
				t.Errorf("the error is %q, want %q", err, test.want)
			}
		})
	}
}

func TestDialSurvivesAResolverThatPanics(t *testing.T) {
	r := run(t, nil)
	cb, ch := outcomes()
	_, err := bev.Dial(t.Context(), r.l, "tcp", "server.test:80", cb, &bev.DialOptions{
		Resolver: resolver(func(context.Context, string, string) ([]netip.Addr, error) { panic("resolver bug") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = await(t, ch, "the Dial to fail")
	var p *bev.PanicError
	if !errors.As(err, &p) || p.Value != "resolver bug" {
		t.Errorf("the error is %v, want a PanicError", err)
	}
	r.wantPanic("resolver bug")
}
