//go:build unix

package bev_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// BenchmarkRateRealTime is libevent's test-ratelim on the real clock: a single
// run of five seconds each with -benchtime=1x. It reports bytes per second, how
// even the shares are, and the processor time that it takes.
func BenchmarkRateRealTime(b *testing.B) {
	for _, s := range []struct {
		name    string
		members int
		own     bev.RateLimit
		group   bev.RateLimit
	}{
		{"own=1000", 1, bev.RateLimit{Read: 1000}, bev.RateLimit{}},
		{"own=50000", 1, bev.RateLimit{Read: 50_000}, bev.RateLimit{}},
		{"30xown=1000", 30, bev.RateLimit{Read: 1000}, bev.RateLimit{}},
		{"30xgroup=30000", 30, bev.RateLimit{}, bev.RateLimit{Read: 30_000}},
		{"30xown=1000,group=30000", 30, bev.RateLimit{Read: 1000}, bev.RateLimit{Read: 30_000}},
		{"1000xgroup=30000", 1000, bev.RateLimit{}, bev.RateLimit{Read: 30_000}},
		{"1000xown=30000", 1000, bev.RateLimit{Read: 30_000}, bev.RateLimit{}},
	} {
		b.Run(s.name, func(b *testing.B) {
			const d = 5 * time.Second
			for range b.N {
				rateRealTime(b, s.members, s.own, s.group, d)
			}
		})
	}
}

func rateRealTime(b *testing.B, members int, own, group bev.RateLimit, d time.Duration) {
	l, err := bev.NewLoop(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	lab := &lab{t: b, l: l} // on the real clock
	var conns []*bev.Conn
	for range members {
		conns = append(conns, lab.flow())
	}
	if group != (bev.RateLimit{}) {
		lab.group(group, conns...)
	}
	for _, c := range conns {
		if own != (bev.RateLimit{}) {
			lab.limit(c, own)
		}
	}
	// Both ends of the window lie in the middle of a tick. A tick's bytes more
	// or less would be a matter of where it begins. Bytes move when a tick
	// ends, so that is what the search for one looks for.
	var before []uint64
	var cpu time.Duration
	last := uint64(0)
	var search *bev.Timer
	search = l.Every(time.Millisecond, func() {
		n := l.Stats().BytesRead
		if last != 0 && n != last {
			search.Stop()
			l.AfterFunc(tick/2, func() {
				before, cpu = bytesRead(conns), processorTime(b)
				l.AfterFunc(d, l.Stop)
			})
		}
		last = n
	})
	if err := l.Run(context.Background()); err != nil {
		b.Fatal(err)
	}
	cpu = processorTime(b) - cpu
	moved := bytesRead(conns)
	for i := range moved {
		moved[i] -= before[i]
	}
	s := spreadOf(moved, d)
	b.ReportMetric(s.total, "B/s")
	b.ReportMetric(s.stddev, "stddev-B/s")
	b.ReportMetric(s.least, "least-B/s")
	b.ReportMetric(s.most, "most-B/s")
	b.ReportMetric(100*cpu.Seconds()/d.Seconds(), "cpu-%")
}

// BenchmarkEchoLimits shows what limits cost a Conn that has none, and one
// that has.
func BenchmarkEchoLimits(b *testing.B) {
	const none, own, grouped, handled = "none", "own", "group", "handle"
	for _, with := range []string{none, handled, own, grouped, "budget"} {
		b.Run(with, func(b *testing.B) {
			var o bev.LoopOptions
			if with == "budget" {
				o.MemoryBudget = 1 << 30
			}
			l, err := bev.NewLoop(&o)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			lab := &lab{t: b, l: l}
			client, c := lab.wire(nil)
			endless := bev.RateLimit{Read: math.MaxInt, Write: math.MaxInt}
			switch with {
			case own:
				lab.limit(c, endless)
			case grouped:
				lab.group(endless, c)
			case handled:
				c.Handle()
			}
			n := 0
			c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
			client.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
				if n++; n == b.N {
					l.Stop()
				}
				c.WriteBuffer(c.Input())
			}})
			c.Enable(bev.Reading)
			client.Enable(bev.Reading)
			client.Write(make([]byte, 64))
			b.ReportAllocs()
			b.ResetTimer()
			if err := l.Run(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRateTick is what a tick costs for each Conn that waits for it, the
// read that it does then left out as far as can be: one byte.
func BenchmarkRateTick(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("conns=%d", n), func(b *testing.B) {
			lab := newLab(b, nil)
			for range n {
				c := lab.flow()
				lab.limit(c, bev.RateLimit{Read: 1}) // nine ticks of ten bring nothing
			}
			lab.pass(time.Second)
			b.ResetTimer()
			lab.pass(time.Duration(b.N) * tick)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/conn/tick")
		})
	}
}
