package goid

import (
	"strings"
	"sync"
	"testing"
)

func TestCurrent(t *testing.T) {
	mine := Current()
	if mine == 0 || Current() != mine {
		t.Fatalf("this goroutine is %d, then %d", mine, Current())
	}
	const n = 100
	ids := make(chan uint64, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			id := Current()
			if again := deep(50); again != id {
				t.Errorf("deep in the stack goroutine %d is %d", id, again)
			}
			ids <- id
		})
	}
	wg.Wait()
	close(ids)
	seen := map[uint64]bool{mine: true}
	for id := range ids {
		if seen[id] {
			t.Errorf("two goroutines are %d", id)
		}
		seen[id] = true
	}
	if Current() != mine {
		t.Errorf("this goroutine is %d now, and was %d", Current(), mine)
	}
}

// deep asks from far down the stack: only the first line of a trace counts,
// and there is no room for more.
func deep(n int) uint64 {
	if n == 0 {
		return Current()
	}
	return deep(n - 1)
}

func TestParse(t *testing.T) {
	for trace, want := range map[string]uint64{
		"goroutine 1 [running]:\n":                    1,
		"goroutine 18446744073709551615 [running]:\n": 1<<64 - 1,
		"goroutine 42":                                42,
	} {
		if got := parse([]byte(trace)); got != want {
			t.Errorf("%q: %d, want %d", trace, got, want)
		}
	}
	for _, trace := range []string{"", "goroutine", "thread 7 [running]", "goroutine x [running]", "goroutine 0 [idle]"} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(v.(string), "BUG") {
					t.Errorf("%q: got %v, want a panic", trace, v)
				}
			}()
			parse([]byte(trace))
		}()
	}
}

func TestAllocs(t *testing.T) {
	Current() // fills the pool
	if n := testing.AllocsPerRun(100, func() { Current() }); n >= 1 {
		t.Errorf("%v allocations a call, want none", n)
	}
}
