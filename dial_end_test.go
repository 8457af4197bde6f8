//go:build unix

package bev_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// libevent: a connect timeout is told again and again.
func TestDialTimeoutEndsTheAttemptOnce_Libevent669(t *testing.T) {
	for _, stage := range dialStages {
		t.Run(stage.name, func(t *testing.T) {
			r := run(t, nil)
			cb, ch := outcomes()
			o, reach := stage.prepare(r)
			o.Timeout = 1000 * time.Hour
			o.Conn = &bev.ConnOptions{WriteTimeout: time.Hour, ReadTimeout: time.Hour}
			if _, err := bev.Dial(t.Context(), r.l, "tcp", stage.addr, cb, o); err != nil {
				t.Fatal(err)
			}
			reach()
			r.skip(999 * time.Hour)
			if len(ch) > 0 {
				t.Fatalf("told %v before the timeout", <-ch)
			}
			r.skip(time.Hour)
			wantTimeout(t, await(t, ch, "the Dial to fail"))
			r.skip(10000 * time.Hour)
			if len(ch) > 0 {
				t.Errorf("told again: %v", <-ch)
			}
			if s := r.settle(); s.Timers != 0 {
				t.Errorf("%d timers are left", s.Timers)
			}
		})
	}
}

// A dialStage is a point at which a Dial stands still, so that something else
// can end it: options that lead there, and a function that waits until it is
// there.
type dialStage struct {
	name    string
	addr    string
	prepare func(r *rig) (o *bev.DialOptions, reach func())
}

var dialStages = []dialStage{
	{"lookup", "server.test:80", func(r *rig) (*bev.DialOptions, func()) {
		asked := make(chan struct{}, 1)
		look := func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			asked <- struct{}{}
			<-ctx.Done() // whatever ends the Dial has to end this, or it is a leak
			return nil, ctx.Err()
		}
		return &bev.DialOptions{Resolver: resolver(look)}, func() { await(r.t, asked, "the Resolver to be asked") }
	}},
	{"one attempt", "192.0.2.1:80", func(r *rig) (*bev.DialOptions, func()) {
		f := hanging(r)
		return &bev.DialOptions{}, func() { f(1) }
	}},
	{"between attempts", "server.test:80", func(r *rig) (*bev.DialOptions, func()) {
		f := hanging(r)
		return &bev.DialOptions{AttemptDelay: 1e6 * time.Hour, Resolver: answers("192.0.2.1", "192.0.2.2")}, func() { f(1) }
	}},
	{"several attempts", "server.test:80", func(r *rig) (*bev.DialOptions, func()) {
		f := hanging(r)
		return &bev.DialOptions{
				AttemptDelay: time.Minute, AttemptTimeout: 1e6 * time.Hour,
				Resolver: answers("192.0.2.1", "2001:db8::1", "192.0.2.2"),
			}, func() {
				f(1)
				r.skip(time.Minute)
				r.skip(time.Minute)
				f(3)
			}
	}},
}

// hanging has all attempts hang, and returns what waits until there are n.
func hanging(r *rig) func(n int) {
	f := inject(r.t)
	hang(f, -1)
	return func(n int) {
		r.t.Helper()
		eventually(r.t, "the attempts to begin", func() bool { return f.count(sys.OpConnect) == n })
		r.settle()
	}
}

// However a Dial ends, and whenever: at most one outcome, and no goroutine,
// descriptor or timer is left (the rig looks for the first two).
func TestDialCancelAtAnyStageLeaksNothing(t *testing.T) {
	errWhy := errors.New("changed my mind")
	for _, end := range []struct {
		name string
		do   func(r *rig, c *bev.Conn, cancel context.CancelCauseFunc)
		want string // of the event, "" for none
	}{
		{"context", func(_ *rig, _ *bev.Conn, cancel context.CancelCauseFunc) { cancel(errWhy) }, "changed my mind"},
		{"context with a deadline", func(_ *rig, _ *bev.Conn, cancel context.CancelCauseFunc) {
			cancel(context.DeadlineExceeded)
		}, "error|timeout: "},
		{"Close", func(r *rig, c *bev.Conn, _ context.CancelCauseFunc) { r.on(func() { c.Close() }) }, ""},
		{"Abort", func(r *rig, c *bev.Conn, _ context.CancelCauseFunc) { r.on(func() { c.Abort() }) }, ""},
		{"CloseAfterFlush", func(r *rig, c *bev.Conn, _ context.CancelCauseFunc) {
			r.on(func() { c.CloseAfterFlush(1e5 * time.Hour) })
			r.wantOpen(c, "it is still connecting, and what it holds may still be sent")
			r.skip(1e5 * time.Hour)
		}, ""},
		{"Loop.Close", func(r *rig, _ *bev.Conn, _ context.CancelCauseFunc) { r.l.Close() }, ""},
		{"Goexit", func(r *rig, _ *bev.Conn, _ context.CancelCauseFunc) { r.l.Post(runtime.Goexit) }, ""},
	} {
		for _, stage := range dialStages {
			t.Run(end.name+" in "+stage.name, func(t *testing.T) {
				r := newRig(t, nil)
				r.start(t.Context())
				// Only end.do cancels it: a lookup that nothing else ends
				// would be a leak.
				ctx, cancel := context.WithCancelCause(context.Background())
				cb, ch := outcomes()
				o, reach := stage.prepare(r)
				c, err := bev.Dial(ctx, r.l, "tcp", stage.addr, cb, o)
				if err != nil {
					t.Fatal(err)
				}
				reach()
				end.do(r, c, cancel)
				if end.want != "" {
					if err := await(t, ch, "the Dial to fail"); !strings.Contains(err.Error(), end.want) {
						t.Errorf("told %v, want %q", err, end.want)
					}
				}
				if end.name != "Loop.Close" && end.name != "Goexit" {
					if s := r.settle(); s.Timers != 0 {
						t.Errorf("%d timers are left", s.Timers)
					}
					r.l.Stop()
				}
				r.wait()
				if len(ch) > 0 {
					t.Errorf("told %v", <-ch)
				}
			})
		}
	}
}

// watchedContext tells who wants to hear of its end. It never ends.
type watchedContext struct {
	context.Context
	mu       sync.Mutex
	watchers int
}

func (c *watchedContext) Done() <-chan struct{} { return make(chan struct{}) }

func (c *watchedContext) AfterFunc(func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers++
	return sync.OnceValue(func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.watchers--
		return true
	})
}

// A context may live as long as the program. What has ended must not hang on
// to it.
func TestDialForgetsItsContext(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	for _, control := range []func(string, string, syscall.RawConn) error{nil, refusing} {
		ctx := &watchedContext{Context: context.Background()}
		cb, ch := outcomes()
		c, err := bev.Dial(ctx, r.l, "tcp", ln.Addr().String(), cb, &bev.DialOptions{Control: control})
		if err != nil {
			t.Fatal(err)
		}
		await(t, ch, "an outcome")
		ctx.mu.Lock()
		if ctx.watchers != 0 {
			t.Errorf("%d watch the context of a Dial that is over", ctx.watchers)
		}
		ctx.mu.Unlock()
		r.on(func() { c.Close() })
	}
}

func TestDialWithAContextThatHasEnded(t *testing.T) {
	r := run(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, tr := r.dialName(ctx, "tcp", nil, &bev.DialOptions{
		Resolver: resolver(func(context.Context, string, string) ([]netip.Addr, error) {
			t.Error("the Resolver was asked for a Dial that is over")
			return nil, nil
		}),
	})
	tr.want("event error: canceled")
	tr.wantNothing("one outcome")
}

// When the context ends, the Resolver notices as well, and may be the first to
// say so, in its own words. The outcome is the context's.
func TestDialTellsTheContextsCauseNotTheResolvers(t *testing.T) {
	r := run(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	errWhy := errors.New("changed my mind")
	_, tr := r.dialName(ctx, "tcp", nil, &bev.DialOptions{
		Resolver: resolver(func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			cancel(errWhy)
			return nil, &net.DNSError{Err: "operation was canceled", Name: "server.test"}
		}),
	})
	tr.want("event error: dial tcp server.test:1: changed my mind")
	tr.wantNothing("one outcome")
}

// A Resolver that does not look at its context cannot hold the Dial up.
func TestDialDoesNotWaitForAResolver(t *testing.T) {
	r := run(t, nil)
	asked, tell := make(chan struct{}, 1), make(chan struct{})
	c, tr := r.dialName(t.Context(), "tcp", nil, &bev.DialOptions{
		Resolver: resolver(func(context.Context, string, string) ([]netip.Addr, error) {
			asked <- struct{}{}
			<-tell
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}),
	})
	await(t, asked, "the Resolver to be asked")
	r.on(func() { c.Close() })
	if s := r.settle(); s.Conns != 0 {
		t.Errorf("%d Conns are left", s.Conns)
	}
	close(tell)
	tr.wantNothing("the Conn is closed")
}
