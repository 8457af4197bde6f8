// Timers measures what timers cost: arming, arming again, stopping, expiring,
// and memory, with N of them armed. It prints one line of JSON.
//
//	timers KIND N
//
// KIND is bev (Loop.AfterFunc) or go (time.AfterFunc). libevent's are measured
// by ../c/libevent_timers.c in the same way. Figures are CPU time of the whole
// process: what the collector does for the timers is part of their price.
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
	Arm    float64 `json:"arm_ns"`
	Rearm  float64 `json:"rearm_ns"`
	Cancel float64 `json:"cancel_ns"`
	Expire float64 `json:"expire_ns"`
	Bytes  float64 `json:"bytes_per_timer"`
}

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
func all[T timer](n int, f *figures, before float64, make func(d time.Duration) T) []T {
	timers := []T{}
	x := uint32(1)
	start := cpu()
	for range n {
		timers = append(timers, make(later(&x, time.Minute, 60)))
	}
	armed := cpu()
	debug.FreeOSMemory()
	f.Bytes = (resident() - before) / float64(n)
	times := max(n, 1_000_000)
	again := cpu()
	for i := range times {
		// Each in its turn to the same time from now, which goes on by a
		// microsecond: what idle timeouts of busy connections do.
		timers[i%n].Reset(time.Minute + time.Duration(i)*time.Microsecond)
	}
	rearmed := cpu()
	for _, t := range timers {
		t.Stop()
	}
	f.Arm, f.Rearm, f.Cancel = (armed-start)/float64(n), (rearmed-again)/float64(times), (cpu()-rearmed)/float64(n)
	return timers
}

// later is somewhere in so many seconds from then on, to the microsecond, in no
// order.
func later(x *uint32, from time.Duration, seconds uint32) time.Duration {
	*x = *x*1664525 + 1013904223
	return from + time.Duration(*x>>8%seconds)*time.Second + time.Duration(*x>>4%1_000_000)*time.Microsecond
}

// soon arms all for somewhere in the second after the next one.
func soon[T timer](timers []T) {
	x := uint32(1)
	for _, t := range timers {
		t.Reset(later(&x, time.Second, 1))
	}
}

// bevTimers does it all on the loop, as programs do.
func bevTimers(n int, f *figures) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	left := n
	fired := func() {
		if left--; left == 0 {
			loop.Stop()
		}
	}
	var start float64
	debug.FreeOSMemory()
	before := resident()
	err = loop.Post(func() {
		timers := all(n, f, before, func(d time.Duration) *bev.Timer { return loop.AfterFunc(d, fired) })
		soon(timers)
		time.Sleep(2 * time.Second) // all are due when the loop looks
		start = cpu()
	})
	if err != nil {
		return err
	}
	err = loop.Run(context.Background())
	f.Expire = (cpu() - start) / float64(n)
	return err
}

func goTimers(n int, f *figures) error {
	var left sync.WaitGroup
	left.Add(n)
	debug.FreeOSMemory()
	timers := all(n, f, resident(), func(d time.Duration) *time.Timer { return time.AfterFunc(d, left.Done) })
	soon(timers)
	start := cpu()
	left.Wait() // they expire in the course of a second, each when it is due
	f.Expire = (cpu() - start) / float64(n)
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
