package polltest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
)

// park is one Park of a poller that has nothing to report. It fails the test
// if that took until the limit, which is to say that nothing woke it.
func (b *bench) park(why string) {
	b.Helper()
	deadline := time.Now().Add(limit)
	n, err := b.p.Park(b.out, deadline)
	b.must(err)
	if n != 0 {
		b.Errorf("%s: reported %v, want nothing", why, b.gather(n))
	}
	if !time.Now().Before(deadline) {
		b.Fatalf("%s: Park was not woken", why)
	}
}

// sleeps checks that no wake is left over: a Park then lasts until its
// deadline.
func (b *bench) sleeps(why string) {
	b.Helper()
	deadline := time.Now().Add(2 * time.Millisecond)
	n, err := b.p.Park(b.out, deadline)
	b.must(err)
	if n != 0 || time.Now().Before(deadline) {
		b.Errorf("%s: Park returned %v %v before its deadline", why, b.gather(n), time.Until(deadline))
	}
}

func wakeBeforePark(b *bench) {
	for range 3 {
		b.must(b.p.Wake())
		b.park("a wake that came before")
	}
	b.sleeps("each was used up")
	b.must(b.p.Wake())
	n, err := b.p.Park(b.out, time.Time{}) // no deadline at all
	if n != 0 || err != nil {
		b.Errorf("Park for ever, with a wake that came before: %d, %v", n, err)
	}
}

// A wake meets a Park before it has asked the kernel, while it asks, and while
// it sleeps: many rounds, begun when the Park is about to ask.
func wakeDuringPark(b *bench) {
	asks := make(chan struct{}, 1)
	defer sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
		if op == sys.OpEpollWait {
			select {
			case asks <- struct{}{}:
			default:
			}
		}
		return -1, nil
	})()
	for range 300 {
		select {
		case <-asks:
		default:
		}
		woken := make(chan error, 1)
		go func() {
			<-asks
			woken <- b.p.Wake()
		}()
		b.park("a wake from another goroutine")
		b.must(<-woken)
	}
	b.sleeps("each was used up")
}

func wakesCountAsOne(b *bench) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if err := b.p.Wake(); err != nil {
					b.Errorf("Wake: %v", err)
				}
			}
		})
	}
	wg.Wait()
	b.park("1600 wakes")
	b.sleeps("and one Park has used them all up")
}

func wakeUsedUpByPoll(b *bench) {
	b.must(b.p.Wake())
	b.quiet("a wake is no event")
	b.sleeps("the Poll has taken note of it")
}

func wakeTakesNoEventsAway(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, poll.Read|poll.Edge))
	b.out = b.out[:1] // the wake and the byte do not fit into one batch
	for range 10 {
		b.write(peer)
		b.must(b.p.Wake())
		b.await(7, poll.Readable, "the byte, beside a wake")
		b.drain(fd)
	}
}

func wakeWhileClosing(b *bench) {
	var wg, begun sync.WaitGroup
	for range 4 {
		begun.Add(1)
		wg.Go(func() {
			once := sync.OnceFunc(begun.Done)
			for {
				err := b.p.Wake()
				once()
				if err == nil {
					continue
				}
				if !b.isClosed(err) {
					b.Errorf("Wake while closing: %v, want net.ErrClosed", err)
				}
				return
			}
		})
	}
	begun.Wait()
	b.must(b.p.Close())
	wg.Wait()
}

// What a loop does: the posters count their work, then wake; the parker looks
// at the count whenever it is awake. No work may be left lying.
func workIsNeverLeftLying(b *bench) {
	const posters, each = 4, 500
	var posted atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	for range posters {
		wg.Go(func() {
			for range each {
				posted.Add(1)
				if err := b.p.Wake(); err != nil {
					b.Errorf("Wake: %v", err)
				}
			}
		})
	}
	deadline := time.Now().Add(limit)
	for posted.Load() < posters*each {
		if _, err := b.p.Park(b.out, deadline); err != nil {
			b.Fatal(err)
		}
		if !time.Now().Before(deadline) {
			b.Fatalf("%d of %d were posted, and Park slept", posted.Load(), posters*each)
		}
	}
}

func deadlineIsNotEarly(b *bench) {
	for _, d := range []time.Duration{
		-time.Hour, -1, 0, 1, 999, time.Microsecond, 300 * time.Microsecond,
		time.Millisecond, 1001 * time.Microsecond, 2500 * time.Microsecond, 7 * time.Millisecond,
	} {
		deadline := time.Now().Add(d)
		n, err := b.p.Park(b.out, deadline)
		b.must(err)
		if early := time.Until(deadline); n != 0 || early > 0 {
			b.Errorf("a deadline in %v: Park returned %d events %v too early", d, n, early)
		}
	}
	// The same deadline again: it has passed.
	deadline := time.Now().Add(time.Millisecond)
	for range 3 {
		if n, err := b.p.Park(b.out, deadline); n != 0 || err != nil || time.Now().Before(deadline) {
			b.Errorf("Park: %d, %v, %v before its deadline", n, err, time.Until(deadline))
		}
	}
}

// A deadline that was set for one Park must not end the next one, which has a
// later one or none, and must not keep it past an earlier one.
func deadlineMovesBothWays(b *bench) {
	start := time.Now()
	b.must(b.p.Wake())
	b.parkUntil(start.Add(5*time.Millisecond), false) // leaves its deadline standing
	b.parkUntil(start.Add(10*time.Millisecond), true)
	b.must(b.p.Wake())
	b.parkUntil(start.Add(limit), false)
	b.parkUntil(start.Add(15*time.Millisecond), true) // earlier than the one that stands
	b.must(b.p.Wake())
	b.parkUntil(time.Time{}, false)
	b.parkUntil(time.Now().Add(time.Millisecond), true)
	b.must(b.p.Wake())
	b.parkUntil(time.Now().Add(-time.Second), true) // passed, and woken
	b.sleeps("a wake beside a deadline that has passed is used up")
	woken := make(chan error, 1)
	go func() { woken <- b.p.Wake() }()
	b.parkUntil(time.Time{}, false) // after a deadline that has fired
	b.must(<-woken)
}

// parkUntil parks once; wait says whether the deadline is what ends it.
func (b *bench) parkUntil(deadline time.Time, wait bool) {
	b.Helper()
	n, err := b.p.Park(b.out, deadline)
	b.must(err)
	if n != 0 {
		b.Errorf("reported %v, want nothing", b.gather(n))
	}
	if wait && time.Now().Before(deadline) {
		b.Errorf("Park returned %v before its deadline", time.Until(deadline))
	}
}

func deadlinePassedStillReports(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, poll.Read))
	b.write(peer)
	for _, d := range []time.Duration{-time.Second, 0, limit} {
		n, err := b.p.Park(b.out, time.Now().Add(d))
		b.must(err)
		if got := b.gather(n); got[7]&poll.Readable == 0 {
			b.Errorf("a deadline in %v: reported %v, want the byte", d, got)
		}
	}
}
