//go:build unix

package bev_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/sys"
)

func TestCloseOfALoopInEveryState(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(r *rig) (running bool)
	}{
		{"never ran", func(r *rig) bool { return false }},
		{"has run", func(r *rig) bool {
			r.l.Stop()
			if err := r.l.Run(context.Background()); err != nil {
				r.t.Errorf("Run: %v", err)
			}
			return false
		}},
		{"runs", func(r *rig) bool { r.start(context.Background()); r.settle(); return true }},
		{"runs and has been stopped", func(r *rig) bool {
			r.start(context.Background())
			release := r.hold()
			r.l.Stop()
			go release()
			return true
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, nil)
			fd, p := socketPair(t)
			c, err := bev.NewConn(r.l, fd, nil)
			if err != nil {
				t.Fatal(err)
			}
			pr, _ := blockingPipe(t)
			if _, err := r.l.Watch(pr, bev.Reading, func(*bev.Watch, bev.Dir) {}); err != nil {
				t.Fatal(err)
			}
			r.l.Notify(func(os.Signal) {}, syscall.SIGUSR1)
			r.l.AfterFunc(time.Hour, func() { t.Error("a timer of a closed Loop has run") })
			ln := r.listen("tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil)
			h := c.Handle()

			running := test.do(r)
			if err := r.l.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			if running {
				if err := r.wait(); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Fatalf("Run returned %v, want net.ErrClosed", err)
				}
			}
			if err := r.l.Close(); err != nil {
				t.Fatalf("the second Close: %v", err)
			}
			if !c.Closed() {
				t.Error("the Conn is open")
			}
			p.wantEOF("the Loop is closed")
			if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
				t.Error("somebody still listens")
			}
			var b sys.Mode
			if _, err := b.Write(pr, nil); err != nil {
				t.Errorf("the watched descriptor: %v", err)
			}
			for name, err := range map[string]error{
				"Run":            r.l.Run(context.Background()),
				"Post":           r.l.Post(func() { t.Error("a call has run on a closed Loop") }),
				"Listener.Close": ln.Close(),
				"Listener.Pause": ln.Pause(),
				"Handle.Close":   h.Close(),
				"Handle.Call":    h.Call(context.Background(), func(*bev.Conn) error { return nil }),
			} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s on a closed Loop: %v, want net.ErrClosed", name, err)
				}
			}
			if _, err := bev.Listen(r.l, "tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Listen on a closed Loop: %v, want net.ErrClosed", err)
			}
			fd, _ = socketPair(t)
			if _, err := bev.NewConn(r.l, fd, nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("NewConn on a closed Loop: %v, want net.ErrClosed", err)
			}
			syscall.Close(fd)
			if _, err := r.l.Watch(pr, bev.Reading, func(*bev.Watch, bev.Dir) {}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Watch on a closed Loop: %v, want net.ErrClosed", err)
			}
			r.l.Stop()
		})
	}
}

func TestCloseOfALoopFromACallback(t *testing.T) {
	r := newRig(t, nil)
	after := false
	r.start(t.Context())
	_, p := r.accept(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
			if err := r.l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if c.Closed() {
				t.Error("the Loop has closed while a callback runs")
			}
			after = true
		}})
		c.Enable(bev.Reading)
	})
	p.send("x")
	if err := r.wait(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Run returned %v, want net.ErrClosed", err)
	}
	if !after {
		t.Fatal("Close in a callback has not returned")
	}
}

func TestBetweenCloseInACallbackAndItsTicksEnd(t *testing.T) {
	r := newRig(t, nil)
	r.start(t.Context())
	ln := r.listen("tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil)
	c, _ := r.accept(nil, nil)
	r.on(func() {
		h := c.Handle()
		if err := r.l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for name, err := range map[string]error{
			"Post":               r.l.Post(func() { t.Error("has run") }),
			"Handle.Write":       second(h.Write([]byte("x"))),
			"Handle.WriteBuffer": h.WriteBuffer(new(buffer.Buffer)),
			"Handle.Do":          h.Do(func(*bev.Conn) { t.Error("has run") }),
			"Listener.Close":     ln.Close(),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v, want net.ErrClosed", name, err)
			}
		}
	})
	if err := r.wait(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Run returned %v, want net.ErrClosed", err)
	}
}

func TestCloseOfALoopFromManyGoroutinesAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.start(t.Context())
	r.accept(nil, echo)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := r.l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			// All is released when Close has returned, whoever did it.
			if n := len(r.log.lines("level=ERROR")); n != 0 {
				t.Errorf("%d errors were logged", n)
			}
		})
	}
	all.Wait()
	if err := r.wait(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Run returned %v, want net.ErrClosed", err)
	}
}

func TestGoexitInACallbackEndsRunAndClosesTheConns(t *testing.T) {
	for name, cause := range map[string]func(r *rig){
		"posted": func(r *rig) { r.l.Post(runtime.Goexit) },
		"timer":  func(r *rig) { r.l.Post(func() { r.l.AfterFunc(0, runtime.Goexit) }) },
		"read": func(r *rig) {
			_, p := r.accept(nil, func(c *bev.Conn) {
				c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()); runtime.Goexit() }})
				c.Enable(bev.Reading)
			})
			p.send("x")
		},
		"accept": func(r *rig) {
			r.call(r.listen("tcp", "127.0.0.1:0", func(*bev.Conn) { runtime.Goexit() }, nil))
		},
		"handle": func(r *rig) {
			c, _ := r.accept(nil, nil)
			h := get(r, c.Handle)
			h.Do(func(*bev.Conn) { runtime.Goexit() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.start(t.Context())
			c, p := r.accept(nil, echo)
			cause(r)
			if err := r.wait(); !errors.Is(err, bev.ErrGoexit) {
				t.Fatalf("Run returned %v, want ErrGoexit", err)
			}
			if !c.Closed() {
				t.Fatal("a Conn is open")
			}
			p.wantEOF("Goexit")
			// The Loop itself is whole.
			r.start(t.Context())
			c, p = r.accept(nil, echo)
			p.sendN(100)
			p.wantN(100)
			r.l.Stop()
			if err := r.wait(); err != nil {
				t.Fatalf("the next Run returned %v", err)
			}
			if c.Closed() {
				t.Fatal("a Conn of the next Run is closed")
			}
		})
	}
}

func TestAPollerThatCannotBeClosedIsLogged(t *testing.T) {
	r := newRig(t, &bev.LoopOptions{BlockingWait: true})
	f := inject(t)
	f.failTimes(-1, sys.OpClose, anyFD, syscall.EIO)
	if err := r.l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if n := len(r.log.lines("closing the poller")); n != 1 {
		t.Fatalf("%d lines of the log speak of it, want 1", n)
	}
}

// A Loop that cannot be run to its end is closed as it is.
func TestLoopShutdownOfALoopThatCannotWait(t *testing.T) {
	r := newRig(t, nil)
	fd, p := socketPair(t)
	if _, err := bev.NewConn(r.l, fd, nil); err != nil {
		t.Fatal(err)
	}
	inject(t).failTimes(-1, sys.OpEpollWait, anyFD, syscall.EBADF)
	err := await(t, shutdown(context.Background(), r.l.Shutdown), "Shutdown to give up")
	cut, ok := errors.AsType[*bev.ShutdownError](err)
	if !ok || cut.Conns != 1 || !errors.Is(err, syscall.EBADF) {
		t.Errorf("Shutdown: %v, want one connection cut off because of EBADF", err)
	}
	if _, err := p.Read(make([]byte, 1)); err == nil {
		t.Error("the peer is told nothing")
	}
}

// Whatever is called while a Loop closes may end its goroutine. The others have
// their turn nevertheless, and nobody waits for ever.
func TestGoexitInWhatAClosingLoopCalls(t *testing.T) {
	for name, end := range map[string]func(l *bev.Loop){
		"Close":  func(l *bev.Loop) { l.Close() },
		"Goexit": func(*bev.Loop) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := bev.NewLoop(nil)
			if err != nil {
				t.Fatal(err)
			}
			const conns = 3
			released := 0
			for range conns {
				a, _, err := bev.Pair(l, nil)
				if err != nil {
					t.Fatal(err)
				}
				a.Output().AppendOwned([]byte("xx"), func() {
					released++
					runtime.Goexit()
				})
			}
			l.Post(func() { end(l) })
			if err := l.Run(t.Context()); err == nil {
				t.Error("Run returned nil")
			}
			if released != conns {
				t.Errorf("%d of %d were released", released, conns)
			}
			if err := l.RunReady(); errors.Is(err, bev.ErrRunning) {
				t.Errorf("RunReady: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}
