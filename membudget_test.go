//go:build unix

package bev_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/seed"
)

// What LoopOptions.MemoryBudget says.

// budget is a rig with a budget, whose books are audited at the end.
func budget(t *testing.T, bytes int) *rig {
	t.Helper()
	r := run(t, &bev.LoopOptions{MemoryBudget: bytes})
	t.Cleanup(func() { r.wantBooks() })
	return r
}

// wantBooks compares what the budget believes with what the buffers hold.
func (r *rig) wantBooks() {
	r.t.Helper()
	r.settle()
	if err := get(r, r.l.CheckBudget); err != nil {
		r.t.Errorf("the books of the budget: %v", err)
	}
}

func (r *rig) stats() bev.LoopStats {
	r.t.Helper()
	return get(r, r.l.Stats)
}

// hoard is a Conn that reads all that its peer sends, and keeps it.
func (r *rig) hoard() (*bev.Conn, *peer) {
	r.t.Helper()
	return r.adopt(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: -1}}, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: func(*bev.Conn, bev.Event, error) {}})
		c.Enable(bev.Reading)
	})
}

// echo is a Conn that sends back all that its peer sends.
func (r *rig) echo() (*bev.Conn, *peer) {
	r.t.Helper()
	return r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
		c.Enable(bev.Reading)
	})
}

// free drains n bytes of a hoard.
func (r *rig) free(c *bev.Conn, n int) {
	r.t.Helper()
	r.on(func() { c.Input().Drain(n) })
}

func TestMemoryBudgetStopsTheLargestHolderFirst(t *testing.T) {
	r := budget(t, 1<<20)
	small, sp := r.hoard()
	large, lp := r.hoard()
	echo, ep := r.echo()
	sp.sendN(20_000)
	r.settle()
	lp.offerAll(r, 8<<20)
	r.wantSuspended(large, bev.Reading, bev.ReasonBudget, "it has taken nearly everything")
	s := r.stats()
	if s.Buffered > 1<<20 || s.Buffered < 1<<20*3/4 {
		t.Errorf("%d bytes are held of a budget of %d", s.Buffered, 1<<20)
	}
	if s.BudgetWaiting != 1 || s.BudgetStops == 0 {
		t.Errorf("%d Conns wait and %d were stopped, want 1 and some", s.BudgetWaiting, s.BudgetStops)
	}
	// The others go on.
	sp.sendN(20_000)
	r.wantInput(small, 40_000, "a small holder reads on")
	for range 20 {
		ep.sendN(10_000)
		ep.wantN(10_000)
	}
	r.wantSuspended(echo, bev.Reading, 0, "an echo holds nothing")
	r.wantIdle("one Conn waits for memory")
}

// What stops a Conn is half of what lets it go on, so that it does not stop
// and start with every byte.
func TestMemoryBudgetResumesWithHysteresis(t *testing.T) {
	const most = 1 << 20
	r := budget(t, most)
	c, p := r.hoard()
	p.offerAll(r, 4<<20)
	r.wantSuspended(c, bev.Reading, bev.ReasonBudget, "the budget is used up")
	full := r.stats()
	held := get(r, func() int { return c.Input().Len() })
	// One that is alone stops at 79 % of the budget: an eighth is kept for the
	// floors, and eight times the rest is what it may hold. It may go on when
	// a quarter of what it holds is free, at 71 %.
	read := get(r, func() uint64 { return c.Stats().BytesRead })
	wentOn := func() bool { return get(r, func() bool { return c.Stats().BytesRead != read }) }
	for r.stats().Buffered > most*72/100 {
		r.free(c, 4096)
	}
	if wentOn() {
		t.Errorf("it went on before it held 72 %% of the budget, having stopped at %d bytes", held)
	}
	for !wentOn() && r.stats().Buffered > most*70/100 {
		r.free(c, 4096)
		r.settle()
	}
	if !wentOn() {
		t.Errorf("it has not gone on with %d bytes of %d", r.stats().Buffered, most)
	}
	p.offerAll(r, 4<<20)
	r.wantSuspended(c, bev.Reading, bev.ReasonBudget, "it went on, and is full again")
	if n := r.stats().BudgetStops - full.BudgetStops; n != 1 {
		t.Errorf("it was stopped %d times in between, want once", n)
	}
}

// Memory that one gives up is there for others who wait, without them doing
// anything: the one that holds least goes on first.
func TestMemoryBudgetGoesOnWithOthers(t *testing.T) {
	r := budget(t, 1<<20)
	a, ap := r.hoard()
	b, bp := r.hoard()
	ap.offerAll(r, 600_000)
	bp.offerAll(r, 4<<20)
	ap.offerAll(r, 4<<20)
	r.wantSuspended(a, bev.Reading, bev.ReasonBudget, "full")
	r.wantSuspended(b, bev.Reading, bev.ReasonBudget, "full")
	if n := r.stats().BudgetWaiting; n != 2 {
		t.Errorf("%d Conns wait, want 2", n)
	}
	before := get(r, func() int { return b.Input().Len() })
	r.on(func() { a.Disable(bev.Reading); a.Input().Reset() })
	r.until(func() bool { return b.Input().Len() > before }, "the other to go on")
	bp.offerAll(r, 4<<20)
	r.wantSuspended(b, bev.Reading, bev.ReasonBudget, "full again")
	before = get(r, func() int { return b.Input().Len() })
	r.on(func() { a.Close(); b.Input().Drain(before * 9 / 10) })
	r.wantSuspended(b, bev.Reading, 0, "it holds little itself now")
}

// Closing gives back everything, and wakes who waits.
func TestMemoryBudgetIsGivenBackByClose(t *testing.T) {
	r := budget(t, 1<<20)
	var conns []*bev.Conn
	var peers []*peer
	for range 8 {
		c, p := r.hoard()
		conns, peers = append(conns, c), append(peers, p)
	}
	for range 3 {
		for _, p := range peers {
			p.offerAll(r, 4<<20)
		}
	}
	if n := r.stats().BudgetWaiting; n != 8 {
		t.Fatalf("%d Conns wait, want all 8", n)
	}
	last := conns[7]
	before := get(r, func() int { return last.Input().Len() })
	r.on(func() {
		for _, c := range conns[:7] {
			c.Close()
		}
	})
	r.until(func() bool { return last.Input().Len() > before }, "the last one to go on")
	r.until(func() bool { return r.l.BudgetWaiting() <= 1 }, "the closed ones to be forgotten")
	r.on(func() { last.Close() })
	if s := r.stats(); s.Buffered != 0 || s.BudgetWaiting != 0 {
		t.Errorf("after all are closed %d bytes are held and %d wait", s.Buffered, s.BudgetWaiting)
	}
}

// What is written is not refused, and so may take more than the budget. Those
// who hold nothing are served all the same.
func TestMemoryBudgetLeavesAFloorForEverybody(t *testing.T) {
	r := budget(t, 256<<10)
	stuck, _ := r.adopt(&bev.ConnOptions{OutputLimit: -1}, nil)
	hoarder, hp := r.hoard()
	_, ep := r.echo()
	hp.sendN(60_000)
	r.wantInput(hoarder, 60_000, "there is room for it")
	r.on(func() { stuck.Write(make([]byte, 4<<20)) })
	if s := r.stats(); s.Buffered < 3<<20 {
		t.Fatalf("%d bytes are held, the peer has taken too many", s.Buffered)
	}
	hp.offerAll(r, 1<<20)
	r.wantSuspended(hoarder, bev.Reading, bev.ReasonBudget, "it holds more than its floor")
	for range 10 {
		ep.sendN(40_000) // in pieces of what the floor allows
		ep.wantN(40_000)
	}
	r.on(func() { stuck.Abort() })
	r.until(func() bool { return hoarder.Input().Len() > 60_000 }, "the hoarder to go on")
}

// The floor is an eighth of the even part, so it rises when many Conns leave:
// those who wait have to hear of it.
func TestMemoryBudgetFloorRisesWhenConnsLeave(t *testing.T) {
	r := budget(t, 256<<10)
	var idle []*bev.Conn
	for range 60 {
		c, _ := r.adopt(nil, nil)
		idle = append(idle, c)
	}
	stuck, _ := r.adopt(&bev.ConnOptions{OutputLimit: -1}, nil)
	r.on(func() { stuck.Write(make([]byte, 4<<20)) })
	c, p := r.hoard()
	p.sendN(400)
	r.wantInput(c, 400, "as much as the floor has")
	p.sendN(4000)
	r.wantSuspended(c, bev.Reading, bev.ReasonBudget, "the floor is 1 KiB for 62 Conns")
	r.on(func() {
		for _, c := range idle {
			c.Close()
		}
	})
	r.wantInputSoon(c, 4400, "the floor is 16 KiB for two Conns")
}

// wantInputSoon waits until Input holds n bytes.
func (r *rig) wantInputSoon(c *bev.Conn, n int, why string) {
	r.t.Helper()
	r.until(func() bool { return c.Input().Len() == n }, why)
}

// The bound: whatever greedy peers do, what is held stays below the budget.
func TestMemoryBudgetIsABound(t *testing.T) {
	const bound = 4 << 20
	most := 0
	r := budget(t, bound)
	var peers []*peer
	for range 40 {
		_, p := r.adopt(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: -1}}, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { most = max(most, c.Loop().Stats().Buffered) }})
			c.Enable(bev.Reading)
		})
		peers = append(peers, p)
	}
	for range 4 {
		for _, p := range peers {
			p.offerAll(r, 300_000)
		}
	}
	r.settle()
	if most > bound || most < bound*4/5 {
		t.Errorf("at most %d bytes were held, want nearly %d and never more", most, bound)
	}
	t.Logf("budget %d, most held %d", bound, most)
}

// A Conn that holds nothing may read, but no more than is free.
func TestMemoryBudgetBoundsSingleReads(t *testing.T) {
	const bound = 100_000
	r := budget(t, bound)
	least := bound
	for range 2 {
		_, p := r.adopt(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: -1}}, func(c *bev.Conn) {
			before := 0
			c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
				least = min(least, c.Input().Len()-before)
				before = c.Input().Len()
			}})
			c.Enable(bev.Reading)
		})
		p.offerAll(r, 4*bound)
	}
	if n := r.stats().Buffered; n > bound {
		t.Errorf("%d bytes are held of a budget of %d", n, bound)
	}
	if n := get(r, func() int { return least }); n < 256 {
		t.Errorf("one read brought %d bytes, which is not worth its call", n)
	}
	// As less and less is free, there comes no read of a few bytes.
	c, p := r.hoard()
	p.send("x")
	r.wantInput(c, 1, "there is a floor")
	r.on(func() {
		for last := 0; ; c.Input().Append(make([]byte, 8)) {
			switch n := c.MaxToRead(); {
			case n == 0 && last == 0:
				t.Error("nothing could be read to begin with")
				return
			case n == 0:
				return
			case n < 256:
				t.Errorf("one read may bring %d bytes, which is not worth its call", n)
				return
			default:
				last = n
			}
		}
	})
}

// What a stopped Conn needs to go on may fall while there is nothing yet.
func TestMemoryBudgetKnowsWhoNeedsLeast(t *testing.T) {
	r := budget(t, 1<<20)
	stuck, _ := r.adopt(&bev.ConnOptions{OutputLimit: -1}, nil)
	c, p := r.hoard()
	r.on(func() { stuck.Write(make([]byte, 700_000)) })
	p.offerAll(r, 4<<20)
	r.wantSuspended(c, bev.Reading, bev.ReasonBudget, "full")
	n := get(r, func() int {
		stuck.Write(make([]byte, c.Input().Len()/2))
		c.Input().Drain(c.Input().Len() / 2)
		return c.Input().Len()
	})
	r.wantSuspended(c, bev.Reading, bev.ReasonBudget, "there is still nothing free")
	free := (1<<20)*8/9 - r.stats().Buffered
	r.on(func() { stuck.Output().Drain((n*10/32 - free) * 8 / 9) }) // a little more than a quarter of what it holds
	r.until(func() bool { return c.Input().Len() > n }, "it to go on")
}

// Conns that are stopped and then closed are not kept, however little is free.
func TestMemoryBudgetForgetsTheClosed(t *testing.T) {
	r := budget(t, 256<<10)
	stuck, _ := r.adopt(&bev.ConnOptions{OutputLimit: -1}, nil)
	r.on(func() { stuck.Write(make([]byte, 4<<20)) })
	for range 10 {
		r.adopt(nil, nil) // one more or less of so many is no reason to look
	}
	for range 50 {
		c, p := r.hoard()
		p.offerAll(r, 100_000)
		r.wantSuspended(c, bev.Reading, bev.ReasonBudget, "full")
		r.on(func() { c.Close() })
		p.close()
	}
	r.until(func() bool { return r.l.BudgetWaiting() <= 2 }, "the closed ones to be forgotten")
}

// Where there is room for a few of those who wait, the others have their turn
// after them, even if the first turn out to need nothing.
func TestMemoryBudgetWakesAllInTheEnd(t *testing.T) {
	r := budget(t, 1<<20)
	stuck, _ := r.adopt(&bev.ConnOptions{OutputLimit: -1}, nil)
	var conns []*bev.Conn
	for range 40 {
		c, p := r.hoard()
		p.sendN(12_000)
		r.wantInput(c, 12_000, "there is room")
		conns = append(conns, c)
		r.on(func() { c.Disable(bev.Reading) })
		p.sendN(300)
	}
	r.on(func() {
		stuck.Write(make([]byte, 1<<20))
		for _, c := range conns {
			c.Enable(bev.Reading)
		}
	})
	r.settle()
	if n := r.stats().BudgetWaiting; n != 40 {
		t.Fatalf("%d Conns wait, want 40", n)
	}
	free := (1<<20)*8/9 - r.stats().Buffered
	r.on(func() { stuck.Output().Drain((30_000 - free) * 8 / 9) })
	r.until(func() bool { return r.l.Stats().BudgetWaiting == 0 }, "all to go on")
	for _, c := range conns {
		r.wantInput(c, 12_300, "it has gone on")
	}
}

// A range of a file in Output is no memory.
func TestMemoryBudgetDoesNotCountFiles(t *testing.T) {
	r := budget(t, 1<<20)
	name := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	none := bev.Watermark{High: -1}
	c, p := r.adopt(&bev.ConnOptions{OutputLimit: -1, ReadWatermark: none, WriteWatermark: none}, nil)
	r.on(func() {
		c.Enable(bev.Reading)
		c.Write(make([]byte, 300_000)) // more than the kernel takes
		if err := c.Output().AppendFile(f, 0, -1, nil); err != nil {
			t.Errorf("AppendFile: %v", err)
		}
	})
	s := r.stats()
	if n := get(r, func() int { return c.Output().Len() }); n < 16<<20 || s.Buffered > 400_000 || s.Buffered == 0 {
		t.Errorf("Output has %d bytes and counts for %d, want the file not to count", n, s.Buffered)
	}
	p.sendN(50_000)
	r.wantInput(c, 50_000, "there is room")
	if more := r.stats().Buffered - s.Buffered; more < 50_000 || more > 66_000 {
		t.Errorf("50000 bytes beside a file count for %d", more)
	}
	r.wantBooks()
	r.on(func() { c.Output().Reset(); c.Input().Reset() })
	if s := r.stats(); s.Buffered != 0 {
		t.Errorf("an empty Conn counts for %d", s.Buffered)
	}
	r.on(func() { c.Write(make([]byte, 800)) }) // the kernel is full
	if s := r.stats(); s.Buffered != 800+100+512 {
		t.Errorf("800 bytes count for %d after the file is gone", s.Buffered)
	}
}

// What is written to a Conn before its Dial has begun counts from then on, and
// never for somebody else.
func TestMemoryBudgetOfADialThatHasNotBegun(t *testing.T) {
	r := budget(t, 1<<20)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	c, _ := r.hoard()
	r.on(func() {
		c.Write(make([]byte, 1000))
		for _, end := range []func(d *bev.Conn){func(*bev.Conn) {}, func(d *bev.Conn) { d.Close() }} {
			d, err := bev.Dial(context.Background(), r.l, "tcp", ln.Addr().String(), bev.Callbacks{}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			d.Write(make([]byte, 100_000))
			if err := r.l.CheckBudget(); err != nil {
				t.Errorf("before the Dial has begun: %v", err)
			}
			end(d)
			t.Cleanup(func() { r.on(func() { d.Close() }) })
		}
	})
	r.wantBooks()
}

// CloseAfterFlush reads on to find the peer's end, and keeps nothing of it.
func TestMemoryBudgetDoesNotHoldUpCloseAfterFlush(t *testing.T) {
	r := budget(t, 256<<10)
	c, p := r.hoard()
	p.offerAll(r, 1<<20)
	r.wantSuspended(c, bev.Reading, bev.ReasonBudget, "full")
	r.on(func() { c.CloseAfterFlush(-1) })
	p.sendN(1 << 20) // all of it is read, or this would block for ever
	p.halfClose()
	r.wantClosed(c, "both sides have ended")
	if s := r.stats(); s.Buffered != 0 || s.BudgetWaiting != 0 {
		t.Errorf("%d bytes are held, %d wait", s.Buffered, s.BudgetWaiting)
	}
	// The same where it is Output that takes the memory.
	c, p = r.echo()
	p.offerAll(r, 4<<20)
	r.wantSuspended(c, bev.Reading, bev.ReasonBudget, "full")
	n := get(r, func() int { return c.Output().Len() })
	if s := r.stats(); s.Buffered != n+n/8+512 {
		t.Errorf("%d bytes that were echoed count for %d, want an eighth and 512 more", n, s.Buffered)
	}
	r.on(func() {
		c.CloseAfterFlush(-1)
		if s := c.Suspended(bev.Reading); s != 0 {
			t.Errorf("after CloseAfterFlush reading is suspended for %v", s)
		}
	})
	p.halfClose()
	r.wantOpen(c, "its Output is not sent")
	r.on(func() { c.Abort() })
}

func TestMemoryBudgetCountsNothingWithoutOne(t *testing.T) {
	for _, n := range []int{0, -1} {
		r := run(t, &bev.LoopOptions{MemoryBudget: n})
		c, p := r.hoard()
		p.offerAll(r, 4<<20)
		r.wantInput(c, 4<<20, "there is no budget")
		if s := r.stats(); s.Buffered != 0 || s.BudgetWaiting != 0 || s.BudgetStops != 0 {
			t.Errorf("budget %d: stats %+v", n, s)
		}
	}
}

// Pairs, filters and sockets, reading, writing, draining, moving and closing
// in any order: the books stay right.
func TestMemoryBudgetBooksAreRight(t *testing.T) {
	rnd := seed.New(t)
	for range 20 {
		b := newLab(t, &bev.LoopOptions{MemoryBudget: 200_000})
		var conns []*bev.Conn
		add := func(list ...*bev.Conn) {
			for _, c := range list {
				c.SetCallbacks(bev.Callbacks{Event: func(*bev.Conn, bev.Event, error) {}, Read: func(c *bev.Conn) {
					if rnd.IntN(2) == 0 {
						c.Input().Drain(rnd.IntN(c.Input().Len() + 1))
					}
				}})
				c.Enable(bev.Reading)
				conns = append(conns, c)
			}
		}
		for range 4 {
			add(b.wire(&bev.ConnOptions{OutputLimit: -1}))
			x, y, err := bev.Pair(b.l, nil)
			if err != nil {
				t.Fatal(err)
			}
			add(x, y)
			plain, under := b.wire(nil)
			over, err := bev.NewFilter(under, doubling{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			add(plain, over)
		}
		for range 300 {
			c, d := conns[rnd.IntN(len(conns))], conns[rnd.IntN(len(conns))]
			switch rnd.IntN(9) {
			case 0, 1, 2:
				c.Write(make([]byte, rnd.IntN(30_000)))
			case 3:
				c.Input().Drain(rnd.IntN(c.Input().Len() + 1))
			case 4:
				d.Output().Move(c.Input(), rnd.IntN(c.Input().Len()+1))
			case 5:
				c.WriteBuffer(c.Input())
			case 6:
				c.Flush(bev.Both, bev.FlushAll)
			case 7:
				if c.Output().Len() > 0 {
					c.Output().Drain(rnd.IntN(c.Output().Len()))
				}
			case 8:
				if rnd.IntN(10) == 0 {
					c.Close()
				}
			}
			if err := b.l.CheckBudget(); err != nil {
				t.Fatal(err)
			}
			b.pass(time.Duration(rnd.IntN(3)) * 10 * time.Millisecond)
			if err := b.l.CheckBudget(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
