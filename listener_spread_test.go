//go:build unix

package bev_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
)

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		name    string
		network string
		opts    bev.ListenOptions
		even    bool
	}{
		{"kernel", "tcp", bev.ListenOptions{}, false},
		{"least conns", "tcp", bev.ListenOptions{Spread: bev.SpreadLeastConns}, true},
		{"round robin", "tcp4", bev.ListenOptions{Spread: bev.SpreadRoundRobin}, true},
		{"unix", "unix", bev.ListenOptions{}, true},
		{"unix in turns", "unix", bev.ListenOptions{Spread: bev.SpreadRoundRobin}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := runCrew(t, 3, nil)
			ln := k.listen(test.network, nil, &test.opts)
			n := 0
			call := func() {
				k.call(ln).wantEcho()
				n++
			}
			for range 30 {
				call()
			}
			counts, _ := k.counts()
			if test.even && !slices.Equal(counts, []int{10, 10, 10}) {
				t.Errorf("30 callers are spread %v", counts)
			}
			if !test.even {
				witness(t, "callers on every loop", func() bool {
					call()
					c, _ := k.counts()
					return slices.Min(c) > 0
				})
			}
			k.want(n, "each caller is served once")
			if s := ln.Stats(); s.Accepted != uint64(n) || s.Conns != n || s.Held != 0 {
				t.Errorf("after %d callers, Stats are %+v", n, s)
			}
		})
	}
}

func TestSpreadLeastConnsFillsUpAndCountsThoseDialled(t *testing.T) {
	k := runCrew(t, 2, nil)
	ln := k.listen("tcp", nil, &bev.ListenOptions{Spread: bev.SpreadLeastConns})
	server := netListen(t, "tcp4", "127.0.0.1:0")
	for range 4 {
		k.rigs[1].dialTo(server, bev.Callbacks{}, nil)
	}
	for range 4 {
		k.call(ln).wantEcho()
	}
	if c, _ := k.counts(); !slices.Equal(c, []int{4, 0}) {
		t.Fatalf("beside four dialled by the second loop, callers are spread %v, want 4 and 0", c)
	}
	k.closeOne(0)
	k.closeOne(0)
	k.call(ln).wantEcho()
	k.call(ln).wantEcho()
	if c, _ := k.counts(); !slices.Equal(c, []int{6, 0}) {
		t.Fatalf("after two were closed, callers are spread %v, want 6 and 0", c)
	}
}

// A crowd that is accepted in one turn is spread as evenly: those on their way
// count.
func TestSpreadLeastConnsCountsThoseOnTheirWay(t *testing.T) {
	k := runCrew(t, 3, nil)
	ln := k.listen("unix", nil, nil)
	var releases []func()
	for _, r := range k.rigs {
		releases = append(releases, r.hold())
	}
	for range 30 {
		k.call(ln)
	}
	for _, release := range releases {
		release()
	}
	k.want(30, "a crowd")
	if c, _ := k.counts(); !slices.Equal(c, []int{10, 10, 10}) {
		t.Errorf("a crowd is spread %v", c)
	}
}

func TestPickChoosesTheLoop(t *testing.T) {
	k := runCrew(t, 2, nil)
	stranger := newRig(t, nil)
	var choice atomic.Pointer[bev.Loop]
	var peer atomic.Value
	ln := k.listen("tcp", nil, &bev.ListenOptions{Pick: func(p netip.AddrPort) *bev.Loop {
		peer.Store(p)
		return choice.Load()
	}})
	last := k.rigs[1].l
	choice.Store(last)
	for range 3 {
		p := k.call(ln)
		p.wantEcho()
		if got, want := peer.Load().(netip.AddrPort).String(), p.LocalAddr().String(); got != want {
			t.Errorf("Pick was asked for %s, the caller is %s", got, want)
		}
	}
	if c, _ := k.counts(); !slices.Equal(c, []int{0, 3}) {
		t.Fatalf("callers are spread %v, want all on the second loop", c)
	}
	choice.Store(nil)
	k.call(ln).wantEcho()
	choice.Store(stranger.l)
	k.call(ln).wantEcho()
	if c, _ := k.counts(); !slices.Equal(c, []int{2, 3}) {
		t.Fatalf("with no choice, and a stranger, callers are spread %v, want 2 and 3", c)
	}
}

func TestPickThatPanicsCostsOneCaller(t *testing.T) {
	k := runCrew(t, 2, nil)
	bad := true
	ln := k.listen("tcp", nil, &bev.ListenOptions{MaxConns: 1, Pick: func(netip.AddrPort) *bev.Loop {
		if bad {
			bad = false
			panic("pick bug")
		}
		return nil
	}})
	release := k.rigOf(ln.Loop()).hold() // a reset before Dial has returned would be its error
	first := k.call(ln)
	release()
	first.wantReset("the function that picks its loop panicked")
	k.call(ln).wantEcho() // there is only one place, so the first one's is free again
	if n := len(k.log.lines("pick bug")); n != 1 {
		t.Errorf("%d lines in the log, want 1", n)
	}
}

func TestAcceptThatPanicsAfterAHandoverCostsOneCaller(t *testing.T) {
	k := runCrew(t, 2, nil)
	var n atomic.Int32
	ln := k.listen("tcp", func(c *bev.Conn) {
		if n.Add(1) <= 2 {
			panic("accept bug")
		}
		k.accept(c)
	}, &bev.ListenOptions{Spread: bev.SpreadRoundRobin, MaxConns: 2})
	a, b := k.rigs[0].hold(), k.rigs[1].hold()
	p, q := k.call(ln), k.call(ln)
	a()
	b()
	p.wantReset("its accept function panicked")
	q.wantReset("its accept function panicked")
	k.call(ln).wantEcho()
	k.call(ln).wantEcho()
	if c, _ := k.counts(); !slices.Equal(c, []int{1, 1}) {
		t.Errorf("afterwards, callers are spread %v", c)
	}
}

func TestHandoverPassesALoopThatDoesNotRun(t *testing.T) {
	k := newCrew(t, 2, nil)
	ln := k.listen("unix", nil, nil)
	own := k.rigOf(ln.Loop())
	other := k.rigs[0]
	if other == own {
		other = k.rigs[1]
	}
	own.start(context.Background())
	for range 4 {
		k.call(ln) // the other has not begun yet: two wait for it
	}
	own.until(func() bool { return own.l.Stats().Conns == 2 }, "two callers")
	other.start(context.Background())
	other.until(func() bool { return other.l.Stats().Conns == 2 }, "two callers")

	other.l.Stop()
	other.wait()
	for range 4 {
		k.call(ln).wantEcho()
	}
	own.until(func() bool { return own.l.Stats().Conns == 6 }, "six callers")
	other.start(context.Background())
	other.on(func() {})
	for range 4 {
		k.call(ln).wantEcho()
	}
	other.until(func() bool { return other.l.Stats().Conns == 6 }, "the loop that is behind to catch up")
	for _, r := range k.rigs {
		r.l.Stop()
		r.wait()
	}
}

// Callers on their way to a Loop that is closed go to another one.
func TestHandoverToALoopThatCloses(t *testing.T) {
	for _, late := range []bool{false, true} {
		k := newCrew(t, 2, nil)
		ln := k.listen("unix", nil, &bev.ListenOptions{MaxConns: 4})
		own := k.rigOf(ln.Loop())
		other := k.rigs[0]
		if other == own {
			other = k.rigs[1]
		}
		own.start(context.Background())
		var callers []*peer
		for range 4 {
			callers = append(callers, k.call(ln))
		}
		own.until(func() bool { return ln.Stats().Accepted == 4 }, "four to be accepted")
		if late {
			if err := own.l.Post(func() { other.l.Close() }); err != nil {
				t.Fatal(err)
			}
		} else if err := other.l.Close(); err != nil {
			t.Fatal(err)
		}
		for _, p := range callers {
			p.wantEcho()
		}
		own.until(func() bool { return own.l.Stats().Conns == 4 }, "all four on the loop that is left")
		own.on(func() {
			for _, c := range k.conns(slices.Index(k.rigs, own)) {
				c.Close()
			}
		})
		k.call(ln).wantEcho()
		own.l.Stop()
		own.wait()
	}
}

func TestCallersOnTheirWayWhenAllEndsAreReset(t *testing.T) {
	for name, end := range map[string]func(k *crew, ln *bev.Listener, other *rig) error{
		"the Listener": func(_ *crew, ln *bev.Listener, other *rig) error {
			err := ln.Close()
			other.start(context.Background())
			other.on(func() {})
			other.l.Stop()
			other.wait()
			return err
		},
		"the group": func(k *crew, _ *bev.Listener, _ *rig) error { return k.g.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			k := newCrew(t, 2, nil)
			ln := k.listen("tcp", nil, &bev.ListenOptions{Spread: bev.SpreadRoundRobin})
			own := k.rigOf(ln.Loop())
			other := k.rigs[0]
			if other == own {
				other = k.rigs[1]
			}
			own.start(context.Background())
			p, q := k.call(ln), k.call(ln)
			own.until(func() bool { return ln.Stats().Accepted == 2 }, "both to be accepted")
			if n := len(k.conns(slices.Index(k.rigs, own))); n != 1 {
				t.Fatalf("%d callers are served, want 1 of 2", n)
			}
			own.l.Stop()
			own.wait()
			if err := end(k, ln, other); err != nil {
				t.Fatal(err)
			}
			q.wantReset("nobody is left to serve it")
			if name == "the Listener" {
				p.close()
			}
			k.g.Close()
			if s := ln.Stats(); s.Conns != 0 {
				t.Errorf("Stats are %+v", s)
			}
			wantRefused(t, ln)
		})
	}
}

func TestListenOnAGroupNoticesWhoListensAlready(t *testing.T) {
	k := runCrew(t, 2, nil)
	ln := k.listen("tcp4", nil, nil)
	addr := ln.Addr().String()
	if _, err := bev.Listen(k.g, "tcp4", addr, k.accept, nil); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second server by mistake: %v, want EADDRINUSE", err)
	}
	other, err := bev.Listen(k.g, "tcp4", addr, k.accept, &bev.ListenOptions{ReusePort: true})
	if err != nil {
		t.Errorf("a second server on purpose: %v", err)
	} else {
		other.Close()
	}
	ln.Close()
	k.settle()
	if _, err := bev.Listen(k.g, "tcp4", addr, k.accept, nil); err != nil {
		t.Errorf("the address is free again: %v", err)
	}
}

func TestListenOnAGroupThatIsClosedFails(t *testing.T) {
	k := newCrew(t, 2, nil)
	if err := k.g.Loops()[1].Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // each Loop is the first in its turn
		free := netListen(t, "tcp4", "127.0.0.1:0")
		addr := free.Addr().String()
		free.Close()
		if _, err := bev.Listen(k.g, "tcp4", addr, k.accept, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Listen: %v, want net.ErrClosed", err)
		}
		k.rigs[0].start(context.Background())
		k.rigs[0].on(func() {})
		k.rigs[0].l.Stop()
		k.rigs[0].wait()
		again, err := net.Listen("tcp4", addr)
		if err != nil {
			t.Fatalf("the address of a Listen that failed is not free: %v", err)
		}
		again.Close()
	}
}

func TestSpreadsHaveNames(t *testing.T) {
	var names []string
	for _, s := range []bev.Spread{bev.SpreadKernel, bev.SpreadLeastConns, bev.SpreadRoundRobin} {
		names = append(names, s.String())
	}
	if got := strings.Join(names, ", "); got != "kernel, least conns, round robin" {
		t.Errorf("the spreads are %s", got)
	}
}
