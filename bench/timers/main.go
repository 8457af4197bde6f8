// Timers measures what timers cost: arming, arming again, stopping, expiring,
// and memory, with N of them armed. It prints one line of JSON.
//
//	timers KIND N
//
// KIND is bev (Loop.AfterFunc) or go (time.AfterFunc). libevent's are measured
// by ../c/libevent_timers.c in the same way. Figures are CPU time of the whole
// process: what the collector does for the timers is part of their price, as
// event_free is of libevent's. With few timers each thing is done in many
// passes, so that what a process does once does not show.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bevgo/bev"
	"golang.org/x/sys/unix"
)

// figures are nanoseconds for a timer, and bytes.
type figures struct {
	Arm      float64 `json:"arm_ns"` // a new one
	Rearm    float64 `json:"rearm_ns"`
	RearmAny float64 `json:"rearm_any_ns"`
	Cancel   float64 `json:"cancel_ns"`
	Expire   float64 `json:"expire_ns"`
	PutOff   float64 `json:"put_off_ns"` // to expire, after it was armed for an earlier time
	Bytes    float64 `json:"bytes_per_timer"`
}

// passes is how often n timers are armed, stopped and let expire.
func passes(n int) int { return max(1, 200_000/n) }

func main() {
	var n int
	if len(os.Args) == 3 {
		n, _ = strconv.Atoi(os.Args[2])
	}
	kinds := map[string]func(int, *figures) error{"bev": bevTimers, "go": goTimers}
	if n < 1 || kinds[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: timers bev|go N")
		os.Exit(2)
	}
	var f figures
	if err := kinds[os.Args[1]](n, &f); err != nil {
		fmt.Fprintln(os.Stderr, "timers:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(f)
}

// A timer is what both kinds can do.
type timer interface {
	Reset(time.Duration) bool
	Stop() bool
}

// all measures everything but the expiring.
func all[T timer](n int, f *figures, before float64, create func(d time.Duration) T) []T {
	timers := make([]T, 0, n)
	x := uint32(1)
	for pass := range passes(n) {
		for _, t := range timers {
			t.Stop()
		}
		timers = timers[:0]
		start := cpu()
		for range n {
			timers = append(timers, create(later(&x, time.Minute, time.Minute)))
		}
		f.Arm += (cpu() - start) / float64(n*passes(n))
		if pass == 0 {
			debug.FreeOSMemory()
			f.Bytes = (resident() - before) / float64(n)
		}
	}
	times := max(n, 1_000_000)
	start := cpu()
	for i := range times {
		// Each in its turn to the same time from now, which goes on by a
		// microsecond: what idle timeouts of busy connections do.
		timers[i%n].Reset(time.Minute + time.Duration(i)*time.Microsecond)
	}
	f.Rearm = (cpu() - start) / float64(times)
	start = cpu()
	for i := range times { // to an earlier time as often as to a later one
		timers[i%n].Reset(later(&x, time.Minute, time.Minute))
	}
	f.RearmAny = (cpu() - start) / float64(times)
	for range passes(n) {
		for i, t := range timers {
			t.Reset(time.Minute + time.Duration(i)*time.Microsecond)
		}
		start := cpu()
		for _, t := range timers {
			t.Stop()
		}
		f.Cancel += (cpu() - start) / float64(n*passes(n))
	}
	return timers
}

// later is somewhere in so much time from then on, to the microsecond, in no
// order.
func later(x *uint32, from, span time.Duration) time.Duration {
	*x = *x*1664525 + 1013904223
	return from + time.Duration(uint64(*x)*uint64(span/time.Microsecond)>>32)*time.Microsecond
}

// soon arms all for somewhere in the time that begins after as much time, a
// microsecond for each. putOff arms each for an earlier time before, so that what
// was left undone then is done when it expires.
func soon[T timer](timers []T, putOff bool) (span time.Duration) {
	x := uint32(1)
	span = time.Duration(len(timers)) * time.Microsecond
	for _, t := range timers {
		d := later(&x, span, span)
		if putOff {
			t.Reset(d - span/2)
		}
		t.Reset(d)
	}
	return span
}

// An expiry is one pass after the other in which all timers expire.
type expiry struct {
	f     *figures
	n     int
	pass  int
	start float64
}

// next reports whether the pass to come is of timers that are put off; ok is
// false when there is none.
func (e *expiry) next() (putOff, ok bool) {
	e.pass++
	return e.pass > passes(e.n), e.pass <= 2*passes(e.n)
}

// begin is called when all are armed, end when all have expired.
func (e *expiry) begin() { e.start = cpu() }

func (e *expiry) end() {
	to := &e.f.Expire
	if e.pass > passes(e.n) {
		to = &e.f.PutOff
	}
	*to += (cpu() - e.start) / float64(e.n*passes(e.n))
}

// bevTimers does it all on the loop, as programs do.
func bevTimers(n int, f *figures) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	var timers []*bev.Timer
	e, left := expiry{f: f, n: n}, n
	begin := func() {
		putOff, ok := e.next()
		if !ok {
			loop.Stop()
			return
		}
		time.Sleep(2 * soon(timers, putOff)) // all are due when the loop looks
		e.begin()
	}
	fired := func() {
		if left--; left == 0 {
			e.end()
			left = n
			begin()
		}
	}
	debug.FreeOSMemory()
	before := resident()
	err = loop.Post(func() {
		timers = all(n, f, before, func(d time.Duration) *bev.Timer { return loop.AfterFunc(d, fired) })
		begin()
	})
	if err != nil {
		return err
	}
	return loop.Run(context.Background())
}

func goTimers(n int, f *figures) error {
	var left sync.WaitGroup
	debug.FreeOSMemory()
	timers := all(n, f, resident(), func(d time.Duration) *time.Timer { return time.AfterFunc(d, left.Done) })
	e := expiry{f: f, n: n}
	for putOff, ok := e.next(); ok; putOff, ok = e.next() {
		left.Add(n)
		soon(timers, putOff)
		e.begin()
		left.Wait() // each expires when it is due
		e.end()
	}
	return nil
}

// cpu is the CPU time of this process in nanoseconds. Source:
// clock_gettime(2).
func cpu() float64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return float64(t.Nano())
}

// resident is the memory of this process in bytes. Source: proc(5), statm.
func resident() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	if err != nil {
		panic(err)
	}
	return pages * float64(os.Getpagesize())
}
