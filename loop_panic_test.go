//go:build unix

package bev_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// A panic in any function of the user is recovered, reported with its stack,
// and ends what it belongs to; the loop lives on.

const boom = "boom in a callback"

// Timers, posts, watches, signals: the loop lives on, and so do those that
// should.
func TestPanicInOtherFunctionsOfTheLoop(t *testing.T) {
	for _, test := range []struct {
		name    string
		provoke func(t *testing.T, r *rig) (check func())
	}{
		{"Post", func(t *testing.T, r *rig) func() {
			ran := make(chan int, 2)
			release := r.hold()
			r.l.Post(func() { panic(boom) })
			r.l.Post(func() { ran <- 1 })
			release()
			return func() { await(t, ran, "the posted call behind it") }
		}},
		{"AfterFunc", func(t *testing.T, r *rig) func() {
			ran := make(chan int, 2)
			r.on(func() {
				r.l.AfterFunc(time.Hour, func() { panic(boom) })
				r.l.AfterFunc(time.Hour+1, func() { ran <- 1 })
			})
			r.skip(2 * time.Hour)
			return func() { await(t, ran, "the timer behind it") }
		}},
		{"Every", func(t *testing.T, r *rig) func() {
			ran := make(chan int, 2)
			n := 0
			r.on(func() {
				r.l.Every(time.Hour, func() {
					if n++; n == 1 {
						panic(boom)
					}
					ran <- n
				})
			})
			r.skip(time.Hour)
			r.skip(time.Hour)
			return func() { await(t, ran, "the second time") }
		}},
		{"Notify", func(t *testing.T, r *rig) func() {
			ran := make(chan int, 2)
			n := 0
			s := get(r, func() *bev.Signal {
				return r.l.Notify(func(os.Signal) {
					if n++; n == 1 {
						panic(boom)
					}
					ran <- n
				}, syscall.SIGUSR1)
			})
			syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			r.until(func() bool { return n == 1 }, "the signal")
			syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			return func() {
				await(t, ran, "the second signal")
				r.on(s.Stop)
			}
		}},
		{"OnError of a listener", func(t *testing.T, r *rig) func() {
			f := inject(t)
			f.fail(sys.OpAccept, anyFD, syscall.EINVAL)
			h := r.host("tcp4", &bev.ListenOptions{OnError: func(error) { panic(boom) }})
			r.callHeld(h)
			return func() {
				if fd := get(r, h.ln.FD); fd != -1 {
					t.Errorf("the listener still has descriptor %d", fd)
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, nil)
			bystander := r.victim(nil, func(cb *bev.Callbacks) {
				cb.Read = func(c *bev.Conn) { c.WriteBuffer(c.Input()) }
			})
			check := test.provoke(t, r)
			r.wantPanic(boom)
			bystander.p.wantEcho()
			check()
		})
	}
}

// A Watch that panicked is stopped: what it was ready for is still there. The
// others of its descriptor go on.
func TestPanicInAWatch(t *testing.T) {
	r := newRig(t, nil)
	r.start(t.Context())
	fd, p := socketPair(t)
	n, others := 0, 0
	r.on(func() {
		for i := range 3 {
			_, err := r.l.Watch(fd, bev.Reading, func(w *bev.Watch, _ bev.Dir) {
				if i == 1 {
					n++
					panic(boom)
				}
				if others++; others > 5 {
					w.Stop()
				}
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	p.send("x") // nobody reads it: the descriptor stays ready
	r.wantPanic(boom)
	r.until(func() bool { return others > 5 }, "the other Watches")
	r.wantIdle("a Watch that panicked is stopped")
	if n := get(r, func() int { return n }); n != 1 {
		t.Errorf("a Watch that panicked was called %d times", n)
	}
	r.l.Stop()
	r.wait()
	r.l.Close()
	syscall.Close(fd)
}

func TestPanicInAWatchOfAFile(t *testing.T) {
	r := run(t, nil)
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	r.on(func() {
		if _, err := r.l.Watch(int(f.Fd()), bev.Reading, func(*bev.Watch, bev.Dir) { n++; panic(boom) }); err != nil {
			t.Error(err)
		}
	})
	r.wantPanic(boom)
	r.wantIdle("a Watch that panicked is stopped")
	if n := get(r, func() int { return n }); n != 1 {
		t.Errorf("a Watch that panicked was called %d times", n)
	}
}

// Callers behind one whose accept function panics are accepted.
func TestPanicInTheAcceptFunction(t *testing.T) {
	r := newRig(t, nil)
	n := 0
	conns := make(chan *bev.Conn, 5)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		conns <- c
		c.SetCallbacks(bev.Callbacks{
			Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) },
			Event: func(_ *bev.Conn, what bev.Event, err error) {
				t.Errorf("told %v, %v: accept has not returned", what, err)
			},
		})
		c.Enable(bev.Reading)
		if n++; n == 2 {
			panic(boom)
		}
	}, nil)
	var callers []*peer
	for range 3 {
		callers = append(callers, r.call(ln))
	}
	r.start(t.Context())
	callers[0].wantEcho()
	callers[1].wantReset("its accept function panicked")
	callers[2].wantEcho()
	r.wantPanic(boom)
	<-conns
	r.wantClosed(<-conns, "its accept function panicked")
	r.l.Stop()
	r.wait()
}

// An OnPanic that panics is reported to the log; a log that panics, to nobody.
func TestPanicInWhatReportsPanics(t *testing.T) {
	for _, test := range []struct {
		name string
		o    func(book *logBook) bev.LoopOptions
		want []string
	}{
		{"no OnPanic", func(book *logBook) bev.LoopOptions {
			return bev.LoopOptions{Logger: slog.New(slog.NewTextHandler(book, nil))}
		}, []string{"bev: a callback panicked"}},
		{"OnPanic", func(book *logBook) bev.LoopOptions {
			return bev.LoopOptions{
				Logger:  slog.New(slog.NewTextHandler(book, nil)),
				OnPanic: func(any, []byte) { panic("OnPanic, too") },
			}
		}, []string{"bev: OnPanic panicked", "bev: a callback panicked"}},
		{"Logger", func(book *logBook) bev.LoopOptions {
			return bev.LoopOptions{Logger: slog.New(badHandler{})}
		}, nil},
		{"both", func(book *logBook) bev.LoopOptions {
			return bev.LoopOptions{Logger: slog.New(badHandler{}), OnPanic: func(any, []byte) { panic("OnPanic, too") }}
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			book := new(logBook)
			o := test.o(book)
			r := run(t, &o)
			v := r.victim(nil, func(cb *bev.Callbacks) { cb.Read = func(*bev.Conn) { panic(boom) } })
			v.p.send("x")
			v.wantTold(r)
			lines := book.lines("")
			if len(lines) != len(test.want) {
				t.Fatalf("logged %q, want %q", lines, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(lines[i], want) || !strings.Contains(lines[i], "_panic_test.go") {
					t.Errorf("logged %q, want %q and the stack", lines[i], want)
				}
			}
			if want := boom; len(lines) > 0 && !strings.Contains(lines[len(lines)-1], want) {
				t.Errorf("logged %q, want %q", lines, want)
			}
		})
	}
}

type badHandler struct{}

func (badHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (badHandler) Handle(context.Context, slog.Record) error { panic("the log, too") }
func (h badHandler) WithAttrs([]slog.Attr) slog.Handler      { return h }
func (h badHandler) WithGroup(string) slog.Handler           { return h }
