package main

import (
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/metrics"
	"slices"
	"syscall"
	"time"
)

// makeGarbage is the rest of a program: some 250 MB a second, which has the
// collector run dozens of times a second beside the server.
func makeGarbage() {
	for range time.Tick(time.Millisecond) {
		runtime.KeepAlive(make([]byte, 256<<10)) // so that it is made at all
	}
}

// reportPauses waits to be terminated and prints for how long a collection has
// stopped the world, in microseconds, and how much of that went by until all
// goroutines stood still. It does so twice, for 2 µs and for ten times as long:
// a median of the single pauses would be one or the other by chance.
func reportPauses() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	pauses := m.PauseNs[:min(int(m.NumGC), len(m.PauseNs))]
	slices.Sort(pauses)
	s := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(s)
	fmt.Printf("{\"gc_p50_us\":%.1f,\"gc_p99_us\":%.1f,\"gc_stop_p50_us\":%.1f}\n",
		1e-3*float64(at(pauses, 0.5)), 1e-3*float64(at(pauses, 0.99)), 1e6*quantile(s[0].Value.Float64Histogram(), 0.5))
	os.Exit(0)
}

// at is the quantile of what is sorted, 0 of nothing.
func at(sorted []uint64, q float64) uint64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))]
}

// quantile is the upper end of the bucket that holds it, as far as that is
// finite.
func quantile(h *metrics.Float64Histogram, q float64) float64 {
	var all, sum uint64
	for _, n := range h.Counts {
		all += n
	}
	for i, n := range h.Counts {
		if sum += n; n > 0 && float64(sum) >= q*float64(all) {
			if end := h.Buckets[i+1]; !math.IsInf(end, 1) {
				return end
			}
			return h.Buckets[i]
		}
	}
	return 0
}
