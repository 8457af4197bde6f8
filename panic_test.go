//go:build unix

package bev_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// panics collects what OnPanic was told.
type panics chan string

func newPanics() panics { return make(panics, 10_000) }

func (p panics) told(v any, stack []byte) { p <- fmt.Sprintf("%v\n%s", v, stack) }

// want waits for the next panic, whose value and stack must be those of text
// in this file.
func (p panics) want(t *testing.T, text string) {
	t.Helper()
	if got := await(t, p, "OnPanic"); !strings.HasPrefix(got, text+"\n") || !strings.Contains(got, "panic_test.go") {
		t.Fatalf("OnPanic was told %.2000s, want %q and the stack of it", got, text)
	}
}

func TestPanicInACallbackOfAConnEndsThatConnOnly(t *testing.T) {
	for _, at := range []string{"read", "write", "event", "handle.Do", "handle.Call"} {
		for _, deferred := range []bool{false, true} {
			name := at
			if deferred {
				name += " deferred"
			}
			t.Run(name, func(t *testing.T) {
				told := newPanics()
				r := run(t, &bev.LoopOptions{OnPanic: told.told})
				other, op := r.accept(nil, echo)
				boom := func(here string) {
					if here == at {
						panic("boom at " + here)
					}
				}
				tr := r.trace()
				var pe *bev.PanicError
				c, p := r.accept(&bev.ConnOptions{DeferCallbacks: deferred}, func(c *bev.Conn) {
					c.SetCallbacks(bev.Callbacks{
						Read:  func(c *bev.Conn) { c.WriteBuffer(c.Input()); boom("read") },
						Write: func(*bev.Conn) { boom("write") },
						Event: func(_ *bev.Conn, what bev.Event, err error) {
							tr.add("event %v", what)
							errors.As(err, &pe)
							boom("event")
						},
					})
					c.Enable(bev.Reading)
				})
				switch at {
				case "read", "write":
					p.send("x")
				case "event":
					p.halfClose()
				case "handle.Do":
					get(r, c.Handle).Do(func(*bev.Conn) { boom("handle.Do") })
				case "handle.Call":
					err := get(r, c.Handle).Call(context.Background(), func(*bev.Conn) error { boom("handle.Call"); return nil })
					if err == nil || !strings.Contains(err.Error(), "panicked") {
						t.Errorf("Call whose function panics: %v", err)
					}
				}
				told.want(t, "boom at "+at)
				r.wantClosed(c, "its callback panicked")
				if at != "write" {
					p.wantReset("a panic is no orderly end")
				}
				if n := r.settle().Panics; n != 1 {
					t.Errorf("%d panics are counted, want 1", n)
				}
				switch at {
				case "event":
					tr.want("event reading|eof")
					tr.wantNothing("the one that would be told is the one that panicked")
				default:
					tr.want("event error")
					tr.wantNothing("it is told once")
					if get(r, func() any { return pe.Value }) != "boom at "+at {
						t.Errorf("the Event callback was told %v", pe)
					}
				}
				// Everybody else goes on.
				op.sendN(1000)
				op.wantN(1000)
				r.wantOpen(other, "it has done nothing")
			})
		}
	}
}

func TestPanicElsewhereLeavesTheLoopAlive(t *testing.T) {
	for at, cause := range map[string]func(r *rig, boom func()){
		"timer": func(r *rig, boom func()) { r.on(func() { r.l.AfterFunc(0, boom) }) },
		"post":  func(r *rig, boom func()) { r.l.Post(boom) },
		"watch": func(r *rig, boom func()) {
			in, out := blockingPipe(r.t)
			r.watch(in, bev.Reading, func(*bev.Watch, bev.Dir) { boom() })
			mustWrite(r.t, out, "x")
		},
		"watch of a file": func(r *rig, boom func()) {
			r.watch(int(sample(r.t, 1).Fd()), bev.Reading, func(*bev.Watch, bev.Dir) { boom() })
		},
		"signal": func(r *rig, boom func()) {
			r.on(func() { r.l.Notify(func(os.Signal) { boom() }, syscall.SIGUSR1) })
			raise(r.t, syscall.SIGUSR1)
		},
	} {
		t.Run(at, func(t *testing.T) {
			told := newPanics()
			r := run(t, &bev.LoopOptions{OnPanic: told.told})
			c, p := r.accept(nil, echo)
			cause(r, func() { panic("boom at " + at) })
			told.want(t, "boom at "+at)
			p.sendN(1000)
			p.wantN(1000)
			r.wantOpen(c, "it has nothing to do with it")
			// A Watch is stopped: what it was ready for would call it for ever.
			r.wantIdle("it panicked once")
		})
	}
}

func TestPanicDoesNotTakeTheTurnOfOthers(t *testing.T) {
	told := newPanics()
	r := run(t, &bev.LoopOptions{OnPanic: told.told})
	tr := r.trace()
	say := func(name string) func() {
		return func() {
			tr.add("%s", name)
			if strings.HasSuffix(name, "2") {
				panic("boom at " + name)
			}
		}
	}
	three := func(kind string, do func(f func())) {
		t.Helper()
		release := r.hold()
		r.l.Post(func() {
			for i := range 3 {
				do(say(fmt.Sprintf("%s %d", kind, i+1)))
			}
		})
		release()
		tr.want(kind+" 1", kind+" 2", kind+" 3")
		told.want(t, "boom at "+kind+" 2")
	}
	three("post", func(f func()) { r.l.Post(f) })
	three("timer", func(f func()) { r.l.AfterFunc(0, f) })

	var conns []*bev.Conn
	for range 9 {
		c, _ := r.adopt(nil, nil)
		conns = append(conns, c)
	}
	next := func() *bev.Conn { c := conns[0]; conns = conns[1:]; return c }
	three("deferred", func(f func()) {
		c := next()
		c.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { f() }})
		c.Trigger(bev.Reading, 0)
	})
	three("flush", func(f func()) {
		c := next()
		c.SetCallbacks(bev.Callbacks{Write: func(*bev.Conn) { f() }})
		c.WriteString("x")
	})
	// Ready in one batch of the kernel: the order is its own.
	var fds []*peer
	for i := range 3 {
		_, p := r.adopt(nil, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { say(fmt.Sprintf("event %d", i+1))() }})
			c.Enable(bev.Reading)
		})
		fds = append(fds, p)
	}
	release := r.hold()
	for _, p := range fds {
		p.send("x")
	}
	release()
	got := map[string]bool{}
	for range 3 {
		line, _ := tr.next()
		got[line] = true
	}
	if len(got) != 3 {
		t.Fatalf("of three Conns that were ready these had their turn: %v", got)
	}
	told.want(t, "boom at event 2")
}

func TestPanicInAHandleLeavesTheRestOfItsQueueTheirTurn(t *testing.T) {
	told := newPanics()
	r := run(t, &bev.LoopOptions{OnPanic: told.told})
	c, _ := r.adopt(nil, nil)
	h := get(r, c.Handle)
	release := r.hold()
	h.Do(func(*bev.Conn) { panic("boom") })
	result := make(chan error, 1)
	go func() { result <- h.Call(context.Background(), func(*bev.Conn) error { return nil }) }()
	eventually(t, "Call to be queued", func() bool { return bev.QueuedOps(h) == 2 })
	release()
	told.want(t, "boom")
	// It is answered: its function has run, or the Conn was gone.
	await(t, result, "Call")
	r.wantClosed(c, "a function of its Handle panicked")
}

// Functions of the user run wherever bytes are dropped, and may panic there.
func TestPanicOfAFunctionInABuffer(t *testing.T) {
	told := newPanics()
	r := run(t, &bev.LoopOptions{OnPanic: told.told})
	boom := func() { panic("boom in a buffer") }
	owned := func(c *bev.Conn) { c.Output().AppendOwned([]byte("x"), boom) }
	other, op := r.accept(nil, echo)
	for name, do := range map[string]func(c *bev.Conn, p *peer){
		"at the end of the tick": func(c *bev.Conn, _ *peer) { r.on(func() { owned(c) }) },
		"in the flush after a callback": func(c *bev.Conn, p *peer) {
			r.on(func() { c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { owned(c) }}) })
			p.send("x")
		},
		"in Close": func(c *bev.Conn, _ *peer) { r.on(func() { c.Disable(bev.Writing); owned(c); c.Close() }) },
		"in CloseAfterFlush": func(c *bev.Conn, _ *peer) {
			r.on(func() { c.Input().AppendOwned([]byte("x"), boom); c.CloseAfterFlush(1) })
		},
		"with a reset": func(c *bev.Conn, p *peer) {
			r.on(func() { c.Disable(bev.Both); owned(c) })
			p.reset()
		},
	} {
		c, p := r.accept(nil, func(c *bev.Conn) { c.Enable(bev.Reading) })
		do(c, p)
		await(t, told, "OnPanic: "+name)
		r.wantClosed(c, name)
	}
	op.sendN(100)
	op.wantN(100)
	r.wantOpen(other, "it has nothing to do with it")
}

func TestPanicInEveryRunGoesOn(t *testing.T) {
	told := newPanics()
	r := run(t, &bev.LoopOptions{OnPanic: told.told})
	runs := 0
	r.on(func() {
		r.l.Every(short, func() {
			runs++
			panic(fmt.Sprintf("boom %d", runs))
		})
	})
	for i := range 3 {
		told.want(t, fmt.Sprintf("boom %d", i+1))
	}
}

func TestPanicsAreLoggedWhereNobodyIsTold(t *testing.T) {
	log := new(logBook)
	r := run(t, &bev.LoopOptions{Logger: log.logger()})
	r.l.Post(func() { panic("boom") })
	r.settle()
	lines := log.lines("level=ERROR")
	if len(lines) != 1 || !strings.Contains(lines[0], "panic=boom") || !strings.Contains(lines[0], "panic_test.go") {
		t.Fatalf("the log says %q, want one line with the panic and its stack", lines)
	}
	if n := r.settle().Panics; n != 1 {
		t.Fatalf("%d panics are counted, want 1", n)
	}
}

// A Conn whose callback panicked while it still held the loop's read memory
// must not keep it.
func TestPanicWithInputInTheLoopsReadMemory(t *testing.T) {
	told := newPanics()
	r := run(t, &bev.LoopOptions{OnPanic: told.told})
	_, p := r.accept(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{
			Read:  func(c *bev.Conn) { c.Output().Move(c.Input(), 100); panic("boom") },
			Event: func(*bev.Conn, bev.Event, error) {},
		})
		c.Enable(bev.Reading)
	})
	_, op := r.accept(nil, echo)
	release := r.hold()
	p.sendN(1000)
	op.sendN(1000)
	release()
	told.want(t, "boom")
	op.wantN(1000)
	op.sendN(60_000)
	op.wantN(60_000)
	p.wantReset("its callback panicked")
	r.on(func() { r.l.AfterFunc(time.Nanosecond, func() {}) })
}
