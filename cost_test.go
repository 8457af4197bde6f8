//go:build unix

package bev_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/invariants"
	"github.com/bevgo/bev/internal/sys"
)

// What things cost, in system calls, allocations and bytes: guards that do not
// look at a clock, and so hold on a busy machine as on a quiet one. The figures
// are logged: go test -v -run '^TestCost' . ./internal/lint

// echoes makes n Conns that echo, over TCP, and their peers.
func (r *rig) echoes(n int) []*peer {
	r.t.Helper()
	ln := r.listen("tcp", "127.0.0.1:0", echo, nil)
	ps := make([]*peer, n)
	for i := range ps {
		ps[i] = r.call(ln)
		ps[i].sendN(64)
		ps[i].wantN(64)
	}
	r.settle()
	return ps
}

func TestCostOfAnEchoAmong64InCalls(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		const conns, rounds = 64, 50
		r := run(t, o)
		ps := r.echoes(conns)
		f := inject(t)
		all, reads, writes, ctl := 0, 0, 0, 0
		for range rounds {
			// All are ready when the loop looks. From there to the last
			// answer, and to the wait that finds nothing, is what they cost.
			release := r.hold()
			for _, p := range ps {
				p.sendN(64)
			}
			f.reset()
			release()
			for _, p := range ps {
				p.wantN(64)
			}
			eventually(t, "the loop to sleep", r.l.Asleep)
			all += f.total()
			reads += f.count(sys.OpRead, sys.OpReadv)
			writes += f.count(sys.OpWrite, sys.OpWritev)
			ctl += f.count(sys.OpEpollCtl)
		}
		const echoes = conns * rounds
		per := float64(all) / echoes
		t.Logf("%.3f calls an echo", per)
		if reads != echoes || writes != echoes || ctl != 0 {
			t.Errorf("%d echoes took %d reads, %d writes and %d epoll_ctl, want one, one and none each", echoes, reads, writes, ctl)
		}
		if per > 2.1 {
			t.Errorf("%.3f calls an echo with 64 connections, want at most 2.1", per)
		}
	})
}

func TestCostOfALoneEchoInCalls(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		const echoes = 300
		r := run(t, o)
		p := r.echoes(1)[0]
		eventually(t, "the loop to sleep", r.l.Asleep)
		f := inject(t)
		for range echoes {
			p.sendN(64)
			p.wantN(64)
		}
		reads, writes := f.count(sys.OpRead, sys.OpReadv), f.count(sys.OpWrite, sys.OpWritev)
		waits, ctl := f.count(sys.OpEpollWait), f.count(sys.OpEpollCtl)
		t.Logf("a lone echo: %.2f calls (%d reads, %d writes, %d waits of %d echoes)", float64(f.total())/echoes, reads, writes, waits, echoes)
		if reads != echoes || writes != echoes || ctl != 0 {
			t.Errorf("%d echoes took %d reads, %d writes and %d epoll_ctl, want one, one and none each", echoes, reads, writes, ctl)
		}
		// Parked in Go's poller a wait is two calls: one that finds nothing,
		// before it parks, and one that finds the message.
		most := 2*echoes + 2
		if o.BlockingWait {
			most = echoes + 2
		}
		if waits > most {
			t.Errorf("%d echoes took %d waits, want at most %d", echoes, waits, most)
		}
	})
}

// waiting are the calls of a loop that waits. How many there are is a matter of
// time: one that comes to rest, as on a busy machine in between, turns its gate.
var waiting = []sys.Op{sys.OpEpollWait, sys.OpEpollTurn, sys.OpYield, sys.OpWake}

// A Conn is registered once, when it is made: stopping and going on cost no
// call, and neither does closing.
func TestCostOfAConnsLifeInCalls(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	ln := r.listen("tcp", "127.0.0.1:0", echo, nil)
	r.settle()
	f.reset()
	const conns = 20
	for range conns {
		p := r.call(ln)
		p.sendN(10)
		p.wantN(10)
		p.reset()
	}
	r.until(func() bool { return r.l.Stats().Conns == 0 }, "all to be closed")
	if n := f.count(sys.OpEpollCtl); n != conns {
		t.Errorf("%d epoll_ctl for the lives of %d connections, want one each", n, conns)
	}

	c, _ := r.accept(nil, nil)
	r.settle()
	f.reset()
	for range 10 {
		r.on(func() { c.Enable(bev.Both) })
		r.on(func() { c.Disable(bev.Both) })
	}
	if n := f.total() - f.count(waiting...); n != 0 {
		t.Errorf("%d calls to stop and go on ten times, want none", n)
	}
}

func TestCostOfAnEchoInAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("the checks of this build allocate")
	}
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		const conns, rounds, size = 64, 300, 512
		r := run(t, o)
		ps := r.echoes(conns)
		b := make([]byte, size)
		round := func() {
			for _, p := range ps {
				if _, err := p.Conn.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			for _, p := range ps {
				for n := 0; n < size; {
					m, err := p.Conn.Read(b[n:])
					if err != nil {
						t.Fatal(err)
					}
					n += m
				}
			}
		}
		for range 20 {
			round()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			round()
		}
		runtime.ReadMemStats(&after)
		n := after.Mallocs - before.Mallocs
		t.Logf("%d allocations of %d echoes, the peers' included", n, conns*rounds)
		// The runtime allocates a little on its own: a thread, a timer.
		if n > rounds/2 {
			t.Errorf("%d echoes made %d allocations, want none", conns*rounds, n)
		}
	})
}

// Small messages are copied through a relay: one read and one write each, and
// nothing else besides the waits.
func TestCostOfARelayedMessageInCalls(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		const relays, rounds, size = 20, 20, 500
		r := run(t, o)
		f := inject(t)
		all := make([]*relayed, relays)
		for i := range all {
			all[i] = r.socketRelay(nil)
		}
		r.settle()
		f.reset()
		for range rounds {
			release := r.hold()
			for _, v := range all {
				v.pa.sendN(size)
			}
			release()
			for _, v := range all {
				v.pb.wantN(size)
			}
		}
		eventually(t, "the loop to sleep", r.l.Asleep)
		const messages = relays * rounds
		reads, writes := f.count(sys.OpRead, sys.OpReadv), f.count(sys.OpWrite, sys.OpWritev)
		rest := f.total() - reads - writes - f.count(waiting...)
		t.Logf("%.3f calls a message", float64(f.total())/messages)
		if reads != messages || writes != messages || rest != 0 {
			t.Errorf("%d messages took %d reads, %d writes and %d other calls, want one, one and none each", messages, reads, writes, rest)
		}
	})
}

// heap is what is alive.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// idleConnMax bounds the heap bytes of an idle Conn, all tables included.
const idleConnMax = 325

func TestCostOfAnIdleConnInBytes(t *testing.T) {
	byBytes := func(c *bev.Conn) {
		for {
			b, err := c.Input().ReadByte()
			if err != nil {
				break
			}
			c.Output().WriteByte(b)
		}
	}
	for name, read := range map[string]func(c *bev.Conn){
		"moved":        func(c *bev.Conn) { c.WriteBuffer(c.Input()) },
		"byte by byte": byBytes,
		"elsewhere":    func(c *bev.Conn) { c.Loop().Post(func() { byBytes(c) }) },
	} {
		t.Run(name, func(t *testing.T) { costOfAnIdleConn(t, read) })
	}
}

// costOfAnIdleConn measures Conns whose read echoes.
func costOfAnIdleConn(t *testing.T, read func(*bev.Conn)) {
	conns := fit(t, 2000, 2) // so many that what the Loop's queues keep is little for each
	r := run(t, nil)
	cb := bev.Callbacks{
		Read:  read,
		Write: func(*bev.Conn) {},
		Event: func(c *bev.Conn, _ bev.Event, _ error) { c.Close() },
	}
	o := &bev.ConnOptions{
		ReadWatermark: bev.Watermark{Low: 1, High: 1 << 20}, WriteWatermark: bev.Watermark{Low: 1, High: 1 << 20},
		ReadTimeout: time.Hour, WriteTimeout: time.Hour, IdleTimeout: time.Hour,
	}
	fds := make([][2]int, conns)
	for i := range fds {
		a, b, err := sys.SocketPair()
		if err != nil {
			t.Fatal(err)
		}
		fds[i] = [2]int{a, b}
		t.Cleanup(func() { syscall.Close(b) })
	}
	r.settle()
	before := heap()
	r.on(func() {
		for _, fd := range fds {
			c, err := bev.NewConn(r.l, fd[0], o)
			if err != nil {
				t.Errorf("NewConn: %v", err)
				return
			}
			c.SetCallbacks(cb)
			c.Enable(bev.Reading)
		}
	})
	r.settle()
	per := func(now uint64) float64 { return (float64(now) - float64(before)) / float64(conns) }
	idle := per(heap())
	t.Logf("%d idle Conns: %.0f bytes of heap each; the struct has %d", conns, idle, bev.SizeofConn)
	if idle > idleConnMax {
		t.Errorf("an idle Conn takes %.0f bytes, want at most %d", idle, idleConnMax)
	}

	// After a burst it returns to that, but for what the Loop keeps for the
	// next one.
	var mode sys.Mode
	b := make([]byte, 8192)
	if invariants.Enabled {
		b = b[:64] // each byte by itself is slow there
	}
	for _, fd := range fds {
		if _, err := mode.Write(fd[1], b); err != nil {
			t.Fatal(err)
		}
	}
	r.until(func() bool { return r.l.Stats().BytesWritten == uint64(conns*len(b)) }, "all to be echoed")
	kept := r.settle().Memory
	after := per(heap()) - float64(kept)/float64(conns)
	t.Logf("after a burst of %d bytes each: %.0f bytes, and %d that the Loop keeps", len(b), after, kept)
	if after > idleConnMax {
		t.Errorf("after a burst an idle Conn takes %.0f bytes, want at most %d", after, idleConnMax)
	}
}

func TestCostOfAConnStructInBytes(t *testing.T) {
	t.Logf("a Conn over a socket is %d bytes", bev.SizeofConn)
	if bev.SizeofConn > 256 {
		t.Errorf("a Conn over a socket is %d bytes, want at most 256: a million of them should fit", bev.SizeofConn)
	}
}

func TestCostOfAnIdleConnInBuffers(t *testing.T) {
	r := run(t, nil)
	c, p := r.accept(nil, echo)
	for _, n := range []int{1, 1000, 100_000, 1_000_000} {
		go p.Conn.Write(part(p.sent, n))
		p.sent += n
		p.wantN(n)
		r.settle()
		if s := get(r, c.Stats); s.Memory != 0 || s.Input != 0 || s.Output != 0 {
			t.Fatalf("after an echo of %d bytes: %+v", n, s)
		}
	}
}
