package main

import (
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/metrics"
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

// reportPauses waits to be terminated and prints for how long the collector
// has stopped the world, in microseconds.
func reportPauses() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	fmt.Printf("{\"gc_p50_us\":%.1f,\"gc_p99_us\":%.1f}\n", 1e6*quantile(h, 0.5), 1e6*quantile(h, 0.99))
	os.Exit(0)
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
