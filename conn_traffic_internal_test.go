package bev

import (
	"math"
	"testing"
	"time"
)

// The counters of a Conn go on beyond 32 bits.
func TestTrafficBeyond4GB(t *testing.T) {
	var c Conn
	want := [2]uint64{}
	for range 5 {
		c.countRead(math.MaxInt32)
		c.countWritten(math.MaxInt32)
		c.countWritten(1)
		want[0] += math.MaxInt32
		want[1] += math.MaxInt32 + 1
		if read, written := c.traffic(); read != want[0] || written != want[1] {
			t.Fatalf("counted %d and %d, want %v", read, written, want)
		}
	}
}

// A clock ends no sooner than its timeout after it was started and at most a
// millisecond later, wherever in a millisecond that was, before and after the
// 32 bits of a moment have come round.
func TestMomentsEndOnTime(t *testing.T) {
	const round = int64(1<<32) * millisecond
	for _, start := range []int64{0, 1, millisecond - 1, millisecond, 12345678, round - 3*millisecond - 1, round - 1, round, 5*round + 7} {
		for _, timeout := range []uint32{1, 5, 1000, math.MaxInt32} {
			m := momentOf(start)
			ideal := start + int64(timeout)*millisecond
			for _, now := range []int64{start, start + 1, start + millisecond/2, (start + ideal) / 2, ideal - 1, ideal, ideal + int64(time.Hour)} {
				if end := m.end(timeout, now); end < ideal || end >= ideal+millisecond {
					t.Fatalf("started at %d, seen from %d: %d ms end at %d, want %d", start, now, timeout, end, ideal)
				}
			}
		}
	}
}
