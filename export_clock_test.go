package bev

import (
	"time"

	"github.com/bevgo/bev/internal/poll"
)

// Virtual puts the Loop on a clock that stands still while there is anything
// to do, and jumps to the next deadline when there is nothing. So a test of
// hours takes as long as its work does, and what it measures is exact. It
// holds where all that happens is caused by the Loop itself: nobody else's
// descriptors and posts. Call it before Run.
func (l *Loop) Virtual() {
	v := &virtual{Poller: l.poller, base: l.base}
	l.poller = v
	l.virtual = func() int64 { return v.now }
}

type virtual struct {
	poll.Poller
	base time.Time
	now  int64
}

// Park never sleeps towards a deadline.
func (v *virtual) Park(out []poll.Event, deadline time.Time) (int, error) {
	if deadline.IsZero() {
		return v.Poller.Park(out, deadline)
	}
	n, err := v.Poller.Poll(out)
	if n == 0 && err == nil {
		v.now = max(v.now, int64(deadline.Sub(v.base)))
	}
	return n, err
}

// Spend has d go by on the virtual clock, as in a callback that takes long. Loop
// only.
func (l *Loop) Spend(d time.Duration) { l.poller.(*virtual).now += int64(d) }

// A RateBucket is the arithmetic of a RateLimit by itself, in one direction.
type RateBucket struct{ b bucket }

func NewRateBucket(rate, burst int, tick time.Duration) *RateBucket {
	b := new(RateBucket)
	b.b.change(rate, burst, int64(tick))
	return b
}

func (b *RateBucket) Credit(d time.Duration) { b.b.credit(int64(d)) }
func (b *RateBucket) Take(n int)             { b.b.take(n) }
func (b *RateBucket) Level() int64           { return b.b.level }

// Pacers is how many lengths of tick a Loop has a pacer for, and how many wait
// for them. Loop only.
func (l *Loop) Pacers() (pacers, waiting int) {
	for _, p := range l.pacers {
		waiting += len(p.waiting)
	}
	return len(l.pacers), waiting
}
