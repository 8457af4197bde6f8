package bev

import (
	"sync"
	"testing"
	"time"
)

// A timer that fires while another deadline is being set must not end waits
// that the new one allows. Only the order of the two is made up here.
func TestNetDeadlineLate(t *testing.T) {
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	var d netDeadline
	mu.Lock()
	d.set(cond, time.Now().Add(time.Hour))
	mu.Unlock()
	d.expire(cond)
	if d.passed {
		t.Error("the timer of an earlier deadline ended the later one")
	}
	mu.Lock()
	d.set(cond, time.Time{})
	mu.Unlock()
	d.expire(cond)
	if d.passed {
		t.Error("the timer of an earlier deadline ended a wait without any")
	}
	mu.Lock()
	defer mu.Unlock()
	// The longest Duration, and beyond.
	d.set(cond, time.Now().AddDate(1000, 0, 0))
	if d.passed {
		t.Error("a deadline in a thousand years has passed")
	}
	d.stop()
	d.set(cond, time.Unix(1, 0))
	if !d.passed {
		t.Error("a deadline in the past has not passed")
	}
	d.set(cond, time.Time{})
	if d.passed {
		t.Error("taking the deadline away does not take its effect away")
	}
}
