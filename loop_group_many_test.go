//go:build unix

package bev_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/seed"
	"github.com/bevgo/bev/internal/sys"
)

// Crowds of callers against a Listener with few places, or Loops with little
// room, on all loops at once. The next crowd comes when each of the last one has
// been served, so whoever misses a wake-up leaves somebody waiting for ever; and
// whoever counts wrongly lets too many in, or has places left at the end.
func TestCrowdsOfCallersOfAGroupAreAllServed(t *testing.T) {
	for _, limit := range []crowdLimit{{places: 4}, {room: 2}, {places: 5, room: 2}} {
		t.Run(fmt.Sprintf("%+v", limit), func(t *testing.T) {
			eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
				serveCrowds(t, network, o, limit)
			})
		})
	}
	// Whoever changes a limit wakes everybody up, and a back-off ends by a
	// timer, so this has another point: nothing is lost while all that changes.
	t.Run("meddled with", func(t *testing.T) {
		eachSpread(t, func(t *testing.T, network string, o bev.ListenOptions) {
			serveCrowds(t, network, o, crowdLimit{places: 6, room: 3, meddle: true})
		})
	})
}

type crowdLimit struct {
	places int // ListenOptions.MaxConns
	room   int // LoopOptions.MaxConns, of each of three Loops
	meddle bool
}

func (l crowdLimit) most() int {
	if l.room == 0 || l.places > 0 && l.places < 3*l.room {
		return l.places
	}
	return 3 * l.room
}

func serveCrowds(t *testing.T, network string, o bev.ListenOptions, limit crowdLimit) {
	const crowd, crowds = 16, 20
	random := seed.New(t)
	k := runCrew(t, 3, &bev.LoopOptions{MaxConns: limit.room})
	var open, peak atomic.Int32
	o.MaxConns = limit.places
	ln := k.listen(network, func(c *bev.Conn) {
		n := open.Add(1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		c.SetCallbacks(bev.Callbacks{
			Read:  func(c *bev.Conn) { c.WriteBuffer(c.Input()) },
			Event: func(c *bev.Conn, _ bev.Event, _ error) { open.Add(-1); c.Close() },
		})
		c.Enable(bev.Reading)
	}, &o)
	served := make(chan struct{})
	var meddler sync.WaitGroup
	if limit.meddle {
		t.Cleanup(failSometimes(random.Uint64()))
		meddler.Go(func() { meddle(ln, random, limit.places, served) })
	}
	for range crowds {
		errs := make(chan error, crowd)
		for range crowd {
			go func() { errs <- callOnce(ln) }()
		}
		for range crowd {
			if err := await(t, errs, "all callers to be served"); err != nil {
				t.Error(err)
			}
		}
	}
	close(served)
	meddler.Wait()
	if p := int(peak.Load()); p > limit.most() {
		t.Errorf("%d Conns were open at the same time, the limits are for %d", p, limit.most())
	}
	eventually(t, "all places to be free", func() bool { return ln.Stats().Conns == 0 })
	for i, r := range k.rigs {
		if n := get(r, r.l.Sockets); n != 0 {
			t.Errorf("loop %d counts %d Conns, all are closed", i, n)
		}
	}
	if n := ln.Stats().Accepted; n != crowd*crowds {
		t.Errorf("%d were accepted, want %d", n, crowd*crowds)
	}
}

// callOnce is one conversation, to its end.
func callOnce(ln *bev.Listener) error {
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		return err
	}
	p := make([]byte, 5)
	if _, err := io.ReadFull(c, p); err != nil || string(p) != "hello" {
		return fmt.Errorf("the echo is %q, %v", p, err)
	}
	return nil
}

// meddle changes what can be changed until it is told to stop.
func meddle(ln *bev.Listener, r *rand.Rand, most int, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		switch r.IntN(4) {
		case 0:
			_ = ln.Pause()
			_ = ln.Resume()
		case 1:
			_ = ln.SetMaxConns(1 + r.IntN(most))
		case 2:
			_ = ln.SetMaxAcceptRate(1000 + r.IntN(100000))
		case 3:
			_ = ln.SetMaxAcceptRate(0)
		}
		ln.Stats()
	}
}

// failSometimes has accept run out of descriptors, and callers hang up, now and
// then on any loop.
func failSometimes(seed uint64) (stop func()) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
		if op != sys.OpAccept {
			return -1, nil
		}
		mu.Lock()
		defer mu.Unlock()
		switch random.IntN(20) {
		case 0:
			return -1, syscall.EMFILE
		case 1:
			return -1, syscall.ECONNABORTED
		}
		return -1, nil
	})
}
