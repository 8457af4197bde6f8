//go:build unix

package bev_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// A Listener on a group is one thing: its limits, holds and end are those of a
// Listener on a Loop, however its callers are spread.

func TestGroupListenerPausesAsOne(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := runCrew(t, 2, nil)
		o.Paused = true
		ln := k.listen(network, nil, &o)
		var callers []*peer
		for range 8 {
			callers = append(callers, k.call(ln))
		}
		k.want(0, "the listener is paused")
		if s := ln.Stats(); s.Held != bev.HoldPaused {
			t.Errorf("held for %q", s.Held)
		}
		if err := ln.Resume(); err != nil {
			t.Fatal(err)
		}
		for _, p := range callers {
			p.wantEcho()
		}
		k.want(8, "Resume")
		if err := ln.Pause(); err != nil {
			t.Fatal(err)
		}
		k.call(ln)
		k.want(8, "Pause")
	})
}

func TestGroupListenerMaxConnsIsOfAllLoops(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := runCrew(t, 3, nil)
		o.MaxConns = 4
		ln := k.listen(network, nil, &o)
		const callers = 40 // with the kernel's spread, some wait at each socket
		for range callers {
			k.call(ln)
		}
		for served := 4; ; served++ {
			k.want(served, "four places")
			if s := ln.Stats(); s.Conns != 4 || s.Held != bev.HoldMaxConns {
				t.Fatalf("with %d served, Stats are %+v", served, s)
			}
			if served == callers {
				break
			}
			k.closeAny()
		}
		ln.SetMaxConns(0)
		k.call(ln).wantEcho()
	})
}

// closeAny closes a Conn that is open on any loop, of all in turn.
func (k *crew) closeAny() {
	k.t.Helper()
	for i := range k.rigs {
		i = (i + int(k.turn.Add(1))) % len(k.rigs)
		r := k.rigs[i]
		if get(r, func() bool { return slices.ContainsFunc(k.conns(i), func(c *bev.Conn) bool { return !c.Closed() }) }) {
			k.closeOne(i)
			return
		}
	}
	k.t.Fatal("no Conn is open")
}

// A place that one socket's acceptor does not want is another's.
func TestGroupListenerPlacesPassOnWhenALoopCloses(t *testing.T) {
	k := newCrew(t, 2, nil)
	ln := k.listen("tcp", nil, &bev.ListenOptions{MaxConns: 1})
	for i := range k.rigs {
		k.rigs[i].start(context.Background())
		k.rigs[i].on(func() {})
	}
	k.call(ln).wantEcho()
	for range 64 {
		k.call(ln) // some at each socket
	}
	k.settle()
	at := 0
	if c, _ := k.counts(); c[1] > 0 {
		at = 1
	}
	if err := k.rigs[at].l.Close(); err != nil {
		t.Fatal(err)
	}
	k.rigs[at].wait()
	left := k.rigs[1-at]
	left.until(func() bool { return left.l.Stats().Conns == 1 }, "the other loop to take the place")
	if s := ln.Stats(); s.Conns != 1 {
		t.Errorf("Stats are %+v", s)
	}
	left.l.Stop()
	left.wait()
}

func TestGroupListenerAcceptRateIsOfAllLoops(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := runCrew(t, 2, nil)
		o.MaxAcceptRate = 1
		ln := k.listen(network, nil, &o)
		for range 24 {
			k.call(ln)
		}
		k.want(1, "one a second")
		if s := ln.Stats(); s.Held != bev.HoldRate {
			t.Errorf("held for %q", s.Held)
		}
		k.skip(time.Second)
		k.want(2, "a second later")
		k.skip(time.Second)
		k.want(3, "two seconds later")
		if err := ln.SetMaxAcceptRate(0); err != nil {
			t.Fatal(err)
		}
		k.want(24, "there is no limit any more")
	})
}

// With as many Conns on a Loop as it may have, callers go to another, whichever
// socket they wait at.
func TestGroupListenerFillsEachLoopToItsMaxConns(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := runCrew(t, 2, &bev.LoopOptions{MaxConns: 3})
		ln := k.listen(network, nil, &o)
		for range 24 {
			k.call(ln)
		}
		k.want(6, "three each")
		if c, _ := k.counts(); !slices.Equal(c, []int{3, 3}) {
			t.Fatalf("the loops serve %v, want three each", c)
		}
		if s := ln.Stats(); s.Held != bev.HoldMaxConns {
			t.Errorf("held for %q", s.Held)
		}
		for i := range 6 {
			k.closeOne(i % 2)
			k.want(7+i, "one has left")
			c, _ := k.counts()
			if want := []int{3 + (i+2)/2, 3 + (i+1)/2}; !slices.Equal(c, want) {
				t.Fatalf("one has left loop %d, and the loops have served %v, want %v", i%2, c, want)
			}
		}
	})
}

// A descriptor is the process's: whichever Loop closes one, the listener tries
// at once.
func TestGroupListenerOutOfDescriptorsIsRelievedByAnyLoop(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := runCrew(t, 2, nil)
		ln := k.listen(network, nil, &o)
		witness(t, "a caller on each loop", func() bool {
			k.call(ln).wantEcho()
			c, _ := k.counts()
			return slices.Min(c) > 0
		})
		_, before := k.counts()
		for i := range k.rigs {
			f := inject(t)
			none := f.failTimes(-1, sys.OpAccept, anyFD, syscall.EMFILE)
			p := k.call(ln)
			eventually(t, "accept to fail", func() bool { return f.struck(none) > 0 })
			k.settle()
			f.lift(none)
			for _, each := range k.rigs {
				each.on(func() { each.l.SkipTime(-time.Hour) }) // no timer is due for an hour
			}
			k.closeOne(i)
			p.wantEcho()
			k.want(before+1+i, "the caller who waited")
			for _, each := range k.rigs {
				each.on(func() { each.l.SkipTime(time.Hour) })
			}
		}
		if s := ln.Stats(); s.Exhausted != 1 {
			t.Errorf("%d episodes within ten seconds, want 1", s.Exhausted)
		}
		if n := len(k.log.lines("out of descriptors")); n != 1 {
			t.Errorf("%d lines in the log, want 1", n)
		}
	})
}

// A socket that the poller does not take has been accepted elsewhere: that is
// where the pause has to be.
func TestGroupListenerPausesWhenAnotherLoopCannotWatch(t *testing.T) {
	k := runCrew(t, 2, nil)
	ln := k.listen("tcp", nil, &bev.ListenOptions{Spread: bev.SpreadRoundRobin})
	k.call(ln).wantEcho() // the next one is handed over
	f := inject(t)
	f.fail(sys.OpEpollCtl, anyFD, syscall.ENOSPC)
	release := k.rigOf(ln.Loop()).hold()
	p := k.call(ln)
	release()
	p.wantReset("it could not be watched")
	eventually(t, "the listener to pause", func() bool { return ln.Stats().Exhausted == 1 })
	k.skip(time.Second)
	k.call(ln).wantEcho()
}

func TestGroupListenerFailsAsOne(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := runCrew(t, 2, nil)
		ln := k.listen(network, nil, &o)
		f := inject(t)
		f.fail(sys.OpAccept, anyFD, syscall.EINVAL)
		a, b := k.rigs[0].hold(), k.rigs[1].hold()
		k.call(ln)
		a()
		b()
		eventually(t, "the listener to be closed", func() bool { return errors.Is(ln.Resume(), net.ErrClosed) })
		k.settle()
		k.mu.Lock()
		errs := slices.Clone(k.errs)
		k.mu.Unlock()
		if len(errs) != 1 || !errors.Is(errs[0], syscall.EINVAL) {
			t.Errorf("OnError was told %v, want EINVAL once", errs)
		}
		wantRefused(t, ln)
	})
}

func TestGroupListenerLivesAsLongAsALoopAccepts(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := newCrew(t, 2, nil)
		ln := k.listen(network, nil, &o)
		for _, r := range k.rigs {
			r.start(context.Background())
			r.on(func() {})
		}
		own := k.rigOf(ln.Loop())
		if err := own.l.Close(); err != nil {
			t.Fatal(err)
		}
		own.wait()
		other := k.rigs[0]
		if other == own {
			other = k.rigs[1]
		}
		if network == "tcp" && o.Spread == bev.SpreadKernel {
			k.call(ln).wantEcho()
			if err := ln.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			other.settle()
		} else {
			eventually(t, "the listener to end", func() bool { return errors.Is(ln.Resume(), net.ErrClosed) })
		}
		wantRefused(t, ln)
		other.l.Stop()
		other.wait()
	})
}

func TestGroupListenerShutdownDrainsAllLoops(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := runCrew(t, 3, nil)
		ln := k.listen(network, nil, &o)
		other := k.listen(network, nil, &o)
		stays := k.call(other)
		stays.wantEcho()
		var callers []*peer
		for range 12 {
			p := k.call(ln)
			p.wantEcho()
			callers = append(callers, p)
		}
		done := make(chan error, 1)
		go func() { done <- ln.Shutdown(context.Background()) }()
		for i, p := range callers {
			p.wantEOF("the listener shuts down")
			if i < len(callers)-1 {
				select {
				case err := <-done:
					t.Fatalf("Shutdown returned %v while %d callers are left", err, len(callers)-i)
				default:
				}
			}
			p.close()
		}
		if err := await(t, done, "Shutdown"); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if s := ln.Stats(); s.Conns != 0 || ln.Drains() != 0 {
			t.Errorf("Stats are %+v", s)
		}
		stays.wantEcho()
		if err := ln.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown again: %v", err)
		}
	})
}

func TestGroupListenerShutdownCutsOffAndAddsUp(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := runCrew(t, 2, nil)
		ln := k.listen(network, nil, &o)
		for range 10 {
			k.call(ln).wantEcho()
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(why)
		err := ln.Shutdown(ctx)
		cut, ok := errors.AsType[*bev.ShutdownError](err)
		if !ok || cut.Conns != 10 || !errors.Is(err, why) {
			t.Fatalf("Shutdown: %v, want 10 connections cut off", err)
		}
		if s := ln.Stats(); s.Conns != 0 {
			t.Errorf("Stats are %+v", s)
		}
	})
}

func TestGroupListenerShutdownOnItsLoopsPanics(t *testing.T) {
	k := runCrew(t, 2, nil)
	ln := k.listen("tcp", nil, nil)
	for _, r := range k.rigs {
		r.on(func() {
			defer func() {
				if recover() == nil {
					t.Error("Shutdown waits for its own loop")
				}
			}()
			ln.Shutdown(context.Background())
		})
	}
}

func TestGroupShutdownDrainsItsListeners(t *testing.T) {
	eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
		k := runCrew(t, 2, nil)
		ln := k.listen(network, nil, &o)
		var callers []*peer
		for range 8 {
			p := k.call(ln)
			p.wantEcho()
			callers = append(callers, p)
		}
		done := make(chan error, 1)
		go func() { done <- k.g.Shutdown(context.Background()) }()
		for _, p := range callers {
			p.wantEOF("the group shuts down")
			p.close()
		}
		if err := await(t, done, "LoopGroup.Shutdown"); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		wantRefused(t, ln)
	})
}

func TestNetListenOnAGroup(t *testing.T) {
	k := runCrew(t, 2, nil)
	ln, err := bev.NetListen(k.g, "tcp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	k.rigs[1].on(func() {
		if _, err := ln.Accept(); err == nil {
			t.Error("Accept waits for its own loop")
		}
	})
	for range 10 {
		p := k.rigs[0].call(ln)
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p.send("hello")
		b := make([]byte, 5)
		if _, err := c.Read(b); err != nil || string(b) != "hello" {
			t.Errorf("read %q, %v", b, err)
		}
		c.Close()
	}
	if err := ln.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	again, err := net.Listen("tcp", ln.Addr().String())
	if err != nil {
		t.Fatalf("the address is not free after Close: %v", err)
	}
	again.Close()
}

// Dial on a group counts those it has dialled, however soon the next one comes.
func TestDialOnAGroupPicksTheLoopWithTheFewest(t *testing.T) {
	k := newCrew(t, 3, nil)
	server := netListen(t, "tcp4", "127.0.0.1:0")
	perLoop := map[*bev.Loop]int{}
	var connected atomic.Int32
	cb := bev.Callbacks{Event: func(_ *bev.Conn, what bev.Event, _ error) {
		if what == bev.EventConnected {
			connected.Add(1)
		}
	}}
	var conns []*bev.Conn
	for range 9 {
		c, err := bev.Dial(context.Background(), k.g, "tcp4", server.Addr().String(), cb, nil)
		if err != nil {
			t.Fatal(err)
		}
		perLoop[c.Loop()]++
		conns = append(conns, c)
	}
	for l, n := range perLoop {
		if n != 3 {
			t.Errorf("loop %d has %d of 9", slices.Index(k.g.Loops(), l), n)
		}
	}
	if _, err := bev.Dial(context.Background(), k.g, "tcp4", "no port", bev.Callbacks{}, nil); err == nil {
		t.Error("Dial without a port succeeded")
	}
	conns[0].Close() // before it has begun
	go func() { k.ended <- k.g.Run(context.Background()) }()
	eventually(t, "the others to be connected", func() bool { return connected.Load() == 8 })
	c, err := bev.Dial(context.Background(), k.g, "tcp4", server.Addr().String(), cb, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Loop() != conns[0].Loop() {
		t.Error("the next one is not of the loop that lost one before it began")
	}
	r, err := bev.Redial(context.Background(), k.g, "tcp4", server.Addr().String(), func(c *bev.Conn) { c.SetCallbacks(cb) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "both to be connected", func() bool { return connected.Load() == 10 })
	r.Stop()
	k.g.Stop()
	if err := await(t, k.ended, "Run"); err != nil {
		t.Error(err)
	}
}

// A ring of Handles across loops: each Conn sends what it gets to the next.
func TestHandlesReachAcrossTheLoopsOfAGroup(t *testing.T) {
	k := runCrew(t, 2, nil)
	handles := make(chan bev.Handle, 2)
	var next [2]atomic.Pointer[bev.Handle]
	var n atomic.Int32
	ln := k.listen("tcp", func(c *bev.Conn) {
		me := n.Add(1) - 1
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
			if err := next[me].Load().WriteBuffer(c.Input()); err != nil {
				t.Errorf("WriteBuffer: %v", err)
			}
		}})
		handles <- c.Handle()
		c.Enable(bev.Reading)
	}, &bev.ListenOptions{Spread: bev.SpreadRoundRobin})
	a := k.call(ln)
	first := await(t, handles, "the first")
	b := k.call(ln)
	second := await(t, handles, "the second")
	next[0].Store(&second)
	next[1].Store(&first)
	for range 50 {
		a.send("to b")
		b.want("to b")
		b.send("to a")
		a.want("to a")
	}
}

// Turns go on for as long as a program runs, whatever an int holds.
func TestGroupTakesTurnsForEver(t *testing.T) {
	for _, dealt := range []uint64{1<<31 - 4, 1<<32 - 4} {
		k := runCrew(t, 3, nil)
		ln := k.listen("tcp", nil, &bev.ListenOptions{Spread: bev.SpreadLeastConns})
		bev.SkipTurns(k.g, ln, dealt)
		loops := k.g.Loops()
		inTurn := func(what string, next func() *bev.Loop) {
			t.Helper()
			last := next()
			for range 12 {
				l := next()
				if slices.Index(loops, l) != (slices.Index(loops, last)+1)%3 {
					t.Errorf("after %d turns: %s is on loop %d after loop %d", dealt, what, slices.Index(loops, l), slices.Index(loops, last))
				}
				last = l
			}
		}
		inTurn("Next", k.g.Next)
		inTurn("a Listener's only socket", func() *bev.Loop {
			ln := k.listen("unix", nil, nil)
			if err := ln.Close(); err != nil {
				t.Error(err)
			}
			return ln.Loop()
		})
		for range 12 {
			k.call(ln).wantEcho()
			c, err := bev.Dial(context.Background(), k.g, "tcp", ln.Addr().String(), bev.Callbacks{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			get(k.rigOf(c.Loop()), func() error { return c.Close() })
		}
	}
}
