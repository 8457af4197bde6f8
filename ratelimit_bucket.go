package bev

import (
	"math"
	"math/bits"
	"time"

	"github.com/bevgo/bev/internal/timer"
)

// bucket is one direction of a rate limit: it fills with time, and what moves
// is taken out after it has moved. So it can be overdrawn, by what nobody
// could know before; then nothing moves until time has paid the debt.
//
// Invariant: -maxDebt <= level <= burst <= maxDebt, 0 <= part < second.
type bucket struct {
	rate  int64 // bytes per second; 0: no limit, and the rest means nothing
	burst int64 // what it holds at most
	level int64 // bytes that may move now
	part  int64 // byte-nanoseconds short of a byte, kept so that no rate drifts
}

const (
	second  = int64(time.Second)
	maxDebt = math.MaxInt64 / 4
)

// start begins a limit. Half of what a tick brings is there from the start:
// since bytes are handed out at the ends of ticks, the sum of them is then
// never further from rate × time than that half, wherever in a tick it began.
func (b *bucket) start(tick int64) {
	b.level, b.part = 0, 0
	b.credit(tick / 2)
	if b.level == 0 {
		b.level, b.part = 1, 0
	}
}

// credit adds what d nanoseconds bring.
func (b *bucket) credit(d int64) {
	if b.rate == 0 || d <= 0 {
		return
	}
	hi, lo := bits.Mul64(uint64(b.rate), uint64(d))
	lo, carry := bits.Add64(lo, uint64(b.part), 0)
	hi += carry
	if hi < uint64(second) { // else more than 2^64 bytes
		n, part := bits.Div64(hi, lo, uint64(second))
		if n < uint64(b.burst-b.level) {
			b.level += int64(n)
			b.part = int64(part)
			return
		}
	}
	b.level, b.part = b.burst, 0
}

// take takes n bytes out, or puts them back when n is negative.
func (b *bucket) take(n int) {
	b.level -= min(max(int64(n), -maxDebt), maxDebt)
	if b.level >= b.burst || b.level < -maxDebt {
		b.level, b.part = min(max(b.level, -maxDebt), b.burst), 0
	}
}

// change replaces the limit. What is in the bucket stays, as far as it fits.
func (b *bucket) change(rate, burst int, tick int64) {
	fresh := b.rate == 0
	b.rate, b.burst = int64(rate), min(int64(burst), maxDebt)
	if fresh {
		b.start(tick)
		return
	}
	b.level = min(b.level, b.burst)
}

// room is how many bytes may move, at least 0.
func (b *bucket) room() int64 {
	if b.rate == 0 {
		return math.MaxInt64
	}
	return max(b.level, 0)
}

// left is the level as users see it.
func (b *bucket) left() int {
	if b.rate == 0 {
		return math.MaxInt
	}
	return int(min(max(b.level, math.MinInt), math.MaxInt))
}

// A pacer wakes whatever waits for the end of the same tick. A Loop has one
// for each length of tick that is in use, and its timer runs only while
// somebody waits: one timer for ten thousand connections, not one each, and
// none where nothing is held back. Ticks end at multiples of their length on
// the loop's clock, so a late wake-up delays bytes and loses none.
type pacer struct {
	loop    *Loop
	tick    int64 // nanoseconds
	node    timer.Node
	waiting []waiter
}

// A waiter is held back until a tick ends.
type waiter interface {
	// ticked fills the waiter's buckets up to now, lets those go on who can,
	// and reports whether anybody still waits. It runs no callbacks.
	ticked(now int64) bool
	// place is where the waiter stands in pacer.waiting, plus one; 0: nowhere.
	place() *int32
}

// pacer returns the Loop's pacer for a length of tick.
func (l *Loop) pacer(tick time.Duration) *pacer {
	p := l.pacers[tick]
	if p == nil {
		if l.pacers == nil {
			l.pacers = make(map[time.Duration]*pacer)
		}
		p = &pacer{loop: l, tick: int64(tick)}
		l.pacers[tick] = p
	}
	return p
}

func (p *pacer) add(w waiter) {
	at := w.place()
	if *at != 0 {
		return
	}
	p.waiting = append(p.waiting, w)
	*at = int32(len(p.waiting))
	if !p.node.Armed() {
		p.arm(p.loop.clock())
	}
}

func (p *pacer) arm(now int64) { p.loop.arm(p, tickEnd(now, p.tick)+p.tick) }

// tickEnd is the end of the last tick that is over at now.
func tickEnd(now, tick int64) int64 { return now - now%tick }

// remove forgets w. The last one takes its place: the order means nothing.
func (p *pacer) remove(w waiter) {
	at := w.place()
	if *at == 0 {
		return
	}
	last := len(p.waiting) - 1
	moved := p.waiting[last]
	p.waiting[*at-1] = moved
	*moved.place() = *at
	p.waiting[last] = nil
	p.waiting = p.waiting[:last]
	*at = 0
	if last == 0 {
		p.waiting = nil
		p.loop.disarm(p)
	}
}

func (p *pacer) timerNode() *timer.Node { return &p.node }

// expire ends a tick.
func (p *pacer) expire(now int64) {
	for i := 0; i < len(p.waiting); {
		w := p.waiting[i]
		if w.ticked(now) {
			i++
			continue
		}
		p.remove(w)
	}
	if len(p.waiting) > 0 {
		p.arm(now)
	}
}
