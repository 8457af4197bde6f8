//go:build unix

package bev_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// A crew is a LoopGroup for the length of a test, with a rig for each Loop.
type crew struct {
	t     *testing.T
	g     *bev.LoopGroup
	rigs  []*rig
	log   *logBook
	ended chan error // what LoopGroup.Run returned
	turn  atomic.Int32

	mu     sync.Mutex
	served map[*bev.Loop][]*bev.Conn // by their Loops, in the order of their accept calls
	errs   []error                   // told by OnError
}

// newCrew makes a group that does not run yet.
func newCrew(t *testing.T, n int, o *bev.LoopOptions) *crew {
	t.Helper()
	checkLeaks(t)
	k := &crew{t: t, log: new(logBook), ended: make(chan error, 1), served: make(map[*bev.Loop][]*bev.Conn)}
	var z bev.LoopOptions
	if o != nil {
		z = *o
	}
	z.Logger = k.log.logger()
	g, err := bev.NewLoopGroup(n, &z)
	if err != nil {
		t.Fatalf("NewLoopGroup: %v", err)
	}
	k.g = g
	for _, l := range g.Loops() {
		k.rigs = append(k.rigs, &rig{t: t, l: l, log: k.log, result: make(chan error, 1)})
	}
	t.Cleanup(func() {
		t.Helper()
		if err := g.Close(); err != nil {
			t.Errorf("LoopGroup.Close: %v", err)
		}
	})
	return k
}

// runCrew makes a group and runs it until the end of the test.
func runCrew(t *testing.T, n int, o *bev.LoopOptions) *crew {
	t.Helper()
	k := newCrew(t, n, o)
	go func() { k.ended <- k.g.Run(context.Background()) }()
	t.Cleanup(func() {
		t.Helper()
		k.g.Stop()
		await(t, k.ended, "LoopGroup.Run to return")
	})
	for _, r := range k.rigs {
		r.on(func() {})
	}
	return k
}

// accept echoes, and notes which Loop serves. It has to run there.
func (k *crew) accept(c *bev.Conn) {
	l := c.Loop()
	c.Handle() // Loop only, see -race
	k.mu.Lock()
	k.served[l] = append(k.served[l], c)
	k.mu.Unlock()
	c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
	c.Enable(bev.Reading)
}

// listen is bev.Listen on the group, by default with echo.
func (k *crew) listen(network string, accept func(*bev.Conn), o *bev.ListenOptions) *bev.Listener {
	k.t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(k.t.TempDir(), "s")
	}
	if accept == nil {
		accept = k.accept
	}
	var z bev.ListenOptions
	if o != nil {
		z = *o
	}
	z.OnError = func(err error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.errs = append(k.errs, err)
	}
	ln, err := bev.Listen(k.g, network, addr, accept, &z)
	if err != nil {
		k.t.Fatalf("Listen on a group: %v", err)
	}
	return ln
}

func (k *crew) call(ln *bev.Listener) *peer {
	k.t.Helper()
	return k.rigs[0].call(ln)
}

// counts are the callers that each Loop serves, or has served.
func (k *crew) counts() (counts []int, sum int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.rigs {
		n := len(k.served[r.l])
		counts, sum = append(counts, n), sum+n
	}
	return counts, sum
}

func (k *crew) conns(i int) []*bev.Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]*bev.Conn(nil), k.served[k.rigs[i].l]...)
}

// want waits until n callers are served, and brings all loops to rest to see
// that there are no more.
func (k *crew) want(n int, why string) {
	k.t.Helper()
	eventually(k.t, why, func() bool { _, sum := k.counts(); return sum >= n })
	k.settle()
	if c, sum := k.counts(); sum != n {
		k.t.Fatalf("%s: the loops serve %v, want %d together", why, c, n)
	}
}

// settle brings all loops to rest. What one hands to another is in the other's
// queue when the first has settled, so a round in which nobody did anything is
// the last.
func (k *crew) settle() {
	k.t.Helper()
	var last uint64
	for {
		var sum uint64
		for _, r := range k.rigs {
			s := r.settle()
			sum += s.Events + s.Opened + s.BytesRead + uint64(s.Conns)
		}
		if sum == last {
			return
		}
		last = sum
	}
}

// skip has the clocks of all loops jump ahead.
func (k *crew) skip(d time.Duration) {
	k.t.Helper()
	for _, r := range k.rigs {
		r.on(func() { r.l.SkipTime(d) })
	}
	k.settle()
}

// rigOf is the rig of l.
func (k *crew) rigOf(l *bev.Loop) *rig {
	for _, r := range k.rigs {
		if r.l == l {
			return r
		}
	}
	k.t.Fatal("a Loop that is not of the group")
	return nil
}

// closeOne closes a Conn that is open on rig i.
func (k *crew) closeOne(i int) {
	k.t.Helper()
	closed := false
	k.rigs[i].on(func() {
		for _, c := range k.conns(i) {
			if !c.Closed() {
				c.Close()
				closed = true
				return
			}
		}
	})
	if !closed {
		k.t.Fatalf("loop %d has no open Conn", i)
	}
}

// allSpreads are the ways in which the tests of groups have callers spread.
var allSpreads = []struct {
	name    string
	network string
	opts    bev.ListenOptions
}{
	{"kernel", "tcp", bev.ListenOptions{}},
	{"least conns", "tcp", bev.ListenOptions{Spread: bev.SpreadLeastConns}},
	{"round robin", "tcp", bev.ListenOptions{Spread: bev.SpreadRoundRobin}},
	{"unix", "unix", bev.ListenOptions{}},
}

// eachSpread runs f for each way to spread callers over loops.
func eachSpread(t *testing.T, f func(t *testing.T, network string, o bev.ListenOptions)) {
	for _, s := range allSpreads {
		t.Run(s.name, func(t *testing.T) { f(t, s.network, s.opts) })
	}
}

// wantRefused says that nobody listens at ln's address any more.
func wantRefused(t *testing.T, ln *bev.Listener) {
	t.Helper()
	if nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String()); err == nil {
		nc.Close()
		t.Fatal("somebody still listens")
	}
}
