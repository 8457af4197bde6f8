//go:build unix

package bev_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

// victimOf is a Conn with a peer, and what its Event callback was told.
type victimOf struct {
	c      *bev.Conn
	p      *peer
	events chan error
}

// victim makes a Conn whose callbacks set may replace.
func (r *rig) victim(o *bev.ConnOptions, set func(cb *bev.Callbacks)) *victimOf {
	r.t.Helper()
	v := &victimOf{}
	cb, events := outcomes()
	v.events = events
	if set != nil {
		set(&cb)
	}
	v.c, v.p = r.adopt(o, func(c *bev.Conn) {
		c.SetCallbacks(cb)
		c.Enable(bev.Reading)
	})
	return v
}

// wantTold says that the Event callback was told of the panic, once, and that
// the Conn is closed.
func (v *victimOf) wantTold(r *rig) {
	r.t.Helper()
	err := await(r.t, v.events, "the Event callback")
	var p *bev.PanicError
	if !errors.As(err, &p) || p.Value != boom || !strings.HasPrefix(err.Error(), "error: bev: a callback panicked: ") {
		r.t.Fatalf("the Event callback was told %v, want error and a PanicError", err)
	}
	if !strings.Contains(string(p.Stack), "_panic_test.go") {
		r.t.Errorf("the stack does not lead here:\n%s", p.Stack)
	}
	v.wantGone(r)
}

// wantGone says that the Conn is closed and nothing more was told.
func (v *victimOf) wantGone(r *rig) {
	r.t.Helper()
	r.wantClosed(v.c, "its callback panicked")
	r.settle()
	if len(v.events) > 0 {
		r.t.Errorf("the Event callback was told %v", <-v.events)
	}
}

func TestPanicInACallbackOfAConn(t *testing.T) {
	type test struct {
		name    string
		o       *bev.ConnOptions
		set     func(cb *bev.Callbacks)
		provoke func(r *rig, v *victimOf)
		silent  bool // the Event callback itself panicked, or cannot be told
	}
	send := func(_ *rig, v *victimOf) { v.p.send("x") }
	deferred := &bev.ConnOptions{DeferCallbacks: true}
	onRead := func(cb *bev.Callbacks) { cb.Read = func(*bev.Conn) { panic(boom) } }
	tests := []test{
		{name: "Read", set: onRead, provoke: send},
		{name: "Read, deferred", o: deferred, set: onRead, provoke: send},
		{name: "Read, with output waiting", set: func(cb *bev.Callbacks) {
			cb.Read = func(c *bev.Conn) { c.WriteString("never sent"); panic(boom) }
		}, provoke: send},
		{name: "Write", set: func(cb *bev.Callbacks) { cb.Write = func(*bev.Conn) { panic(boom) } },
			provoke: func(r *rig, v *victimOf) { r.write(v.c, "x") }},
		{name: "Write, deferred", o: deferred, set: func(cb *bev.Callbacks) { cb.Write = func(*bev.Conn) { panic(boom) } },
			provoke: func(r *rig, v *victimOf) { r.write(v.c, "x") }},
		{name: "Event", silent: true, set: func(cb *bev.Callbacks) {
			cb.Event = func(*bev.Conn, bev.Event, error) { panic(boom) }
		}, provoke: func(_ *rig, v *victimOf) { v.p.halfClose() }},
		{name: "Event, deferred", silent: true, o: deferred, set: func(cb *bev.Callbacks) {
			cb.Event = func(*bev.Conn, bev.Event, error) { panic(boom) }
		}, provoke: func(_ *rig, v *victimOf) { v.p.halfClose() }},
		{name: "Event of a timeout", silent: true, o: &bev.ConnOptions{ReadTimeout: time.Hour}, set: func(cb *bev.Callbacks) {
			cb.Event = func(*bev.Conn, bev.Event, error) { panic(boom) }
		}, provoke: func(r *rig, _ *victimOf) { r.skip(time.Hour) }},
		{name: "no Event callback", silent: true, set: func(cb *bev.Callbacks) {
			cb.Event = nil
			cb.Read = func(*bev.Conn) { panic(boom) }
		}, provoke: send},
		{name: "Read after Close", silent: true, set: func(cb *bev.Callbacks) {
			cb.Read = func(c *bev.Conn) { c.Close(); panic(boom) }
		}, provoke: send},
		{name: "Read after CloseAfterFlush", silent: true, set: func(cb *bev.Callbacks) {
			cb.Read = func(c *bev.Conn) { c.CloseAfterFlush(-1); panic(boom) }
		}, provoke: send},
		{name: "Handle.Do", provoke: func(r *rig, v *victimOf) {
			get(r, v.c.Handle).Do(func(*bev.Conn) { panic(boom) })
		}},
		{name: "Handle.Call", provoke: func(r *rig, v *victimOf) {
			err := get(r, v.c.Handle).Call(context.Background(), func(*bev.Conn) error { panic(boom) })
			if !isClosed(err) {
				r.t.Errorf("Call: %v, want net.ErrClosed", err)
			}
		}},
		{name: "a callback of Input", provoke: func(r *rig, v *victimOf) {
			r.on(func() { v.c.Input().AddCallback(once()) })
			v.p.send("x")
		}},
		{name: "a callback of Output, by a Handle", provoke: func(r *rig, v *victimOf) {
			r.on(func() { v.c.Output().AddCallback(once()) })
			get(r, v.c.Handle).Write([]byte("x"))
		}},
		{name: "a release function, when its bytes are sent", provoke: func(r *rig, v *victimOf) {
			r.on(func() { v.c.Output().AppendOwned([]byte("x"), func() { panic(boom) }) })
		}},
		{name: "a file that is read", provoke: func(r *rig, v *victimOf) {
			r.on(func() {
				if err := v.c.Output().AppendFile(badFile(func([]byte, int64) (int, error) { panic(boom) }), 0, 10, nil); err != nil {
					r.t.Error(err)
				}
			})
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, nil)
			bystander := r.victim(nil, func(cb *bev.Callbacks) {
				cb.Read = func(c *bev.Conn) { c.WriteBuffer(c.Input()) }
			})
			v := r.victim(test.o, test.set)
			r.settle()
			test.provoke(r, v)
			if test.silent {
				v.wantGone(r)
			} else {
				v.wantTold(r)
			}
			r.wantPanic(boom)
			if n := get(r, func() uint64 { return r.l.Stats().Panics }); n != 1 {
				t.Errorf("Stats count %d panics, want 1", n)
			}
			bystander.p.wantEcho()
			v.p.wantEnd()
		})
	}
}

// once panics at the first change of a buffer, and not when it is emptied because
// of that.
func once() func(buffer.Change) {
	n := 0
	return func(buffer.Change) {
		if n++; n == 1 {
			panic(boom)
		}
	}
}

// badFile is an io.ReaderAt that is a function.
type badFile func(p []byte, off int64) (int, error)

func (f badFile) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// wantEnd reads to the end, which may be a reset where bytes went unread.
func (p *peer) wantEnd() {
	p.t.Helper()
	if _, err := io.Copy(io.Discard, p.Conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("the peer got %v, want the end", err)
	}
}

// A Conn that is told of its panic is at its end: it can be looked at, and
// nothing else.
func TestPanicEventComesWithAConnThatHasEnded(t *testing.T) {
	r := run(t, nil)
	told := make(chan string, 1)
	c, p := r.accept(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{
			Read: func(c *bev.Conn) { c.WriteString("half an answ"); panic(boom) },
			Event: func(c *bev.Conn, what bev.Event, err error) {
				_, werr := c.WriteString("er")
				told <- fmt.Sprint(what, ", closed ", c.Closed(), ", Input ", c.Input().Len(), ", Output ", c.Output().Len(), ", enabled ", c.Enabled(), ", Write refused ", isClosed(werr))
				c.CloseAfterFlush(0) // must not send what is half done
			},
		})
		c.Enable(bev.Reading)
	})
	p.send("question")
	want := "error, closed false, Input 8, Output 0, enabled none, Write refused true"
	if got := await(t, told, "the Event callback"); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	r.wantClosed(c, "its callback panicked")
	p.wantReset("what it got must not look like all there was")
	r.wantPanic(boom)
}

// A second panic, of the Event callback that is told of the first, closes the
// Conn and is reported as well.
func TestPanicInTheCallbackThatIsToldOfAPanic(t *testing.T) {
	r := run(t, nil)
	v := r.victim(nil, func(cb *bev.Callbacks) {
		cb.Read = func(*bev.Conn) { panic(boom) }
		cb.Event = func(*bev.Conn, bev.Event, error) { panic("boom again") }
	})
	v.p.send("x")
	v.wantGone(r)
	r.wantPanic(boom)
	r.wantPanic("boom again")
	v.p.wantEnd()
}

// What is due when the panic comes is told with it, or not at all.
func TestPanicWithOtherThingsDue(t *testing.T) {
	r := run(t, nil)
	v := r.victim(nil, func(cb *bev.Callbacks) {
		cb.Read = func(c *bev.Conn) {
			c.Trigger(bev.Both, bev.TriggerIgnoreWatermarks)
			c.TriggerEvent(bev.EventTimeout, os.ErrDeadlineExceeded)
			panic(boom)
		}
		cb.Write = func(*bev.Conn) { t.Error("the Write callback runs after the panic") }
	})
	v.p.send("x")
	err := await(t, v.events, "the Event callback")
	var p *bev.PanicError
	if !errors.As(err, &p) || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "error|timeout: ") {
		t.Errorf("told %v, want both", err)
	}
	v.wantGone(r)
	r.wantPanic(boom)
}

// The peer's reset, while the panic waits to be told, is not told as well.
func TestPanicThenResetIsOneEvent(t *testing.T) {
	r := run(t, nil)
	cb, events := outcomes()
	v := &victimOf{events: events}
	v.c, v.p = r.accept(nil, func(c *bev.Conn) {
		c.SetCallbacks(cb)
		c.Enable(bev.Reading)
	})
	r.on(func() {
		// Sent at the end of this tick: the Event callback is due in the
		// next one, after what the kernel has to say.
		v.c.Output().AppendOwned([]byte("x"), func() {
			v.p.Conn.(*net.TCPConn).SetLinger(0)
			v.p.Conn.Close()
			panic(boom)
		})
	})
	v.wantTold(r)
	r.wantPanic(boom)
}

// An error value is found through the PanicError.
func TestPanicErrorUnwraps(t *testing.T) {
	r := run(t, nil)
	v := r.victim(nil, func(cb *bev.Callbacks) { cb.Read = func(*bev.Conn) { panic(os.ErrPermission) } })
	v.p.send("x")
	if err := await(t, v.events, "the Event callback"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("told %v", err)
	}
	r.wantPanic("permission denied")
	if err := (&bev.PanicError{Value: "text"}); errors.Unwrap(err) != nil {
		t.Errorf("a text was unwrapped: %v", errors.Unwrap(err))
	}
}

// Release functions that panic while a Conn is closed do not keep it open, nor
// keep each other from running, whoever closes it.
func TestPanicInReleaseFunctionsWhileClosing(t *testing.T) {
	for _, test := range []struct {
		name  string
		close func(r *rig, c *bev.Conn)
	}{
		{"Close", func(r *rig, c *bev.Conn) { r.on(func() { c.Close() }) }},
		{"CloseAfterFlush", func(r *rig, c *bev.Conn) { r.on(func() { c.CloseAfterFlush(0) }) }},
		{"Loop.Close", func(r *rig, _ *bev.Conn) { r.l.Close() }},
		{"Goexit", func(r *rig, _ *bev.Conn) {
			r.l.Post(runtime.Goexit)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.start(t.Context())
			v := r.victim(nil, nil)
			ran := 0
			r.on(func() {
				v.c.Disable(bev.Both)
				for i := range 3 {
					bad := func() {
						if ran++; i != 1 {
							panic(boom)
						}
					}
					v.c.Input().AppendOwned([]byte("in"), bad)
					v.c.Output().AppendOwned([]byte("out"), bad)
				}
			})
			test.close(r, v.c)
			v.p.wantEnd()
			if test.name == "Close" || test.name == "CloseAfterFlush" {
				v.p.close()
				r.wantClosed(v.c, "that is what was asked for")
				r.l.Stop()
			}
			r.wait()
			if ran != 6 {
				t.Errorf("%d of 6 release functions ran", ran)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.panics) != 2 && (test.name != "CloseAfterFlush" || len(r.panics) < 2) {
				t.Errorf("%d panics were reported, want one each for Input and Output", len(r.panics))
			}
			r.panics = nil
		})
	}
}

// A Conn that is closed, or flushed, by another's callback, and panics in it:
// the callback is cut short, so both have to go.
func TestPanicOfOneConnInsideAnothersCallback(t *testing.T) {
	r := run(t, nil)
	b := r.victim(nil, nil)
	a := r.victim(nil, func(cb *bev.Callbacks) {
		cb.Read = func(*bev.Conn) {
			b.c.Output().AppendOwned([]byte("x"), func() { panic(boom) })
			b.c.Flush(bev.Writing, bev.FlushNormal)
		}
	})
	a.p.send("x")
	a.wantTold(r)
	b.wantTold(r)
	r.wantPanic(boom)
}

// What is queued on a Handle between a panic and what the panic left of the
// queue has its turn, too, although the post that stands for it was used up.
func TestPanicInAHandlesQueueDoesNotStrandACall(t *testing.T) {
	var h bev.Handle
	result := make(chan error, 1)
	r := run(t, &bev.LoopOptions{OnPanic: func(any, []byte) {
		go func() { result <- h.Call(context.Background(), func(*bev.Conn) error { return nil }) }()
		for h.Waiting() == 0 {
			runtime.Gosched()
		}
	}})
	v := r.victim(nil, nil)
	h = get(r, v.c.Handle)
	release := r.hold()
	h.Do(func(*bev.Conn) { panic(boom) })
	h.Do(func(*bev.Conn) {})
	release()
	// Its Conn is closed, or about to be: the answer may be either.
	if err := await(t, result, "the Call"); err != nil && !isClosed(err) {
		t.Errorf("Call: %v", err)
	}
	v.wantTold(r)
}

// Calls that wait on a Handle are answered, whatever is queued before them.
func TestPanicInAHandlesQueueLosesNothing(t *testing.T) {
	r := run(t, nil)
	v := r.victim(nil, nil)
	h := get(r, v.c.Handle)
	var wg sync.WaitGroup
	release := r.hold()
	h.Do(func(*bev.Conn) { panic(boom) })
	results := make(chan error, 20)
	for range 10 {
		wg.Go(func() { results <- h.Call(context.Background(), func(*bev.Conn) error { return nil }) })
		h.Do(func(*bev.Conn) {})
	}
	release()
	wg.Wait()
	for range 10 {
		// nil for those whose turn came before the Conn was closed.
		if err := await(t, results, "a Call"); err != nil && !isClosed(err) {
			t.Errorf("Call: %v", err)
		}
	}
	v.wantTold(r)
	r.wantPanic(boom)
}

// What a filter does wrong is its Conn's, and the Conns below go with it.
func TestPanicInAFilter(t *testing.T) {
	for _, test := range []struct {
		name    string
		f       badFilter
		provoke func(r *rig, top *bev.Conn, p *peer)
		silent  bool
	}{
		{name: "In", f: badFilter{in: true}, provoke: func(*rig, *bev.Conn, *peer) {}}, // it runs once to begin with
		{name: "Out", f: badFilter{out: true}, provoke: func(r *rig, top *bev.Conn, _ *peer) { r.write(top, "x") }},
		{name: "Out at Close", f: badFilter{finish: true}, silent: true, provoke: func(r *rig, top *bev.Conn, _ *peer) {
			r.on(func() { top.Close() })
		}},
		{name: "Out at CloseAfterFlush", f: badFilter{finish: true}, silent: true, provoke: func(r *rig, top *bev.Conn, _ *peer) {
			r.on(func() { top.CloseAfterFlush(0) })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, nil)
			below := r.victim(nil, nil)
			cb, events := outcomes()
			top := get(r, func() *bev.Conn {
				c, err := bev.NewFilter(below.c, &test.f, nil)
				if err != nil {
					t.Error(err)
					return nil
				}
				c.SetCallbacks(cb)
				c.Enable(bev.Reading)
				return c
			})
			r.settle()
			test.provoke(r, top, below.p)
			v := &victimOf{c: top, p: below.p, events: events}
			if test.silent {
				below.p.wantEnd()
				below.p.close()
				v.wantGone(r)
			} else {
				v.wantTold(r)
			}
			r.wantClosed(below.c, "the Conn above is closed")
			r.wantPanic(boom)
		})
	}
}

type badFilter struct{ in, out, finish bool }

func (f *badFilter) In(s *bev.FilterStreams, _ bev.FlushMode) error {
	if f.in {
		panic(boom)
	}
	s.ToUser.MoveAll(s.FromBelow)
	return nil
}

func (f *badFilter) Out(s *bev.FilterStreams, mode bev.FlushMode) error {
	if f.out || f.finish && mode == bev.FlushFinished {
		panic(boom)
	}
	s.ToBelow.MoveAll(s.FromUser)
	return nil
}
