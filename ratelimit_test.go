//go:build unix

package bev_test

import (
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// What SetRateLimit says: the figures are exact, because the clock is virtual.

const tick = bev.DefaultRateTick

func TestRateLimitRefusesWhatCannotWork(t *testing.T) {
	for _, c := range []struct {
		r    bev.RateLimit
		want string // in the error, "" for none
	}{
		{bev.RateLimit{Read: 1}, ""},
		{bev.RateLimit{}, ""},
		{bev.RateLimit{Read: 1000, ReadBurst: 100}, ""},
		{bev.RateLimit{Write: math.MaxInt}, ""},
		{bev.RateLimit{Read: 5, ReadBurst: 1}, ""},
		{bev.RateLimit{Read: -1}, "negative"},
		{bev.RateLimit{Write: -1}, "negative"},
		{bev.RateLimit{Read: 1, ReadBurst: -1}, "negative"},
		{bev.RateLimit{WriteBurst: 10}, "no rate"},
		{bev.RateLimit{Read: 1000, ReadBurst: 99}, "less than the 100 bytes of one tick"},
		{bev.RateLimit{Write: 1001, WriteBurst: 100}, "less than the 101 bytes of one tick"},
		{bev.RateLimit{Read: 1, Tick: 101 * time.Millisecond}, "between 1ms and 100ms"},
		{bev.RateLimit{Read: 1, Tick: time.Second}, "between 1ms and 100ms"},
		{bev.RateLimit{Read: 1, Tick: 999 * time.Microsecond}, "between 1ms and 100ms"},
		{bev.RateLimit{Read: 1, Tick: -time.Millisecond}, "between 1ms and 100ms"},
	} {
		b := newLab(t, nil)
		_, conn := b.wire(nil)
		err := conn.SetRateLimit(&c.r)
		_, groupErr := bev.NewRateGroup(b.l, c.r)
		for _, err := range []error{err, groupErr} {
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%+v is refused: %v", c.r, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "bev: ")):
				t.Errorf("%+v: error %v, want one with %q", c.r, err, c.want)
			}
		}
		if _, ok := conn.RateLimit(); ok != (c.want == "") {
			t.Errorf("%+v: after an error nothing may have changed", c.r)
		}
	}
}

func TestRateLimitFillsInItsDefaults(t *testing.T) {
	b := newLab(t, nil)
	_, c := b.wire(nil)
	b.limit(c, bev.RateLimit{Read: 1000, Write: 50, WriteBurst: 5})
	got, ok := c.RateLimit()
	want := bev.RateLimit{Read: 1000, ReadBurst: 1000, Write: 50, WriteBurst: 5, Tick: 100 * time.Millisecond}
	if !ok || got != want {
		t.Errorf("the limit is %+v, %v, want %+v", got, ok, want)
	}
	b.limit(c, bev.RateLimit{Read: 1000, Tick: 7900 * time.Microsecond})
	if got, _ = c.RateLimit(); got.Tick != 7*time.Millisecond {
		t.Errorf("the tick is %v, want 7ms: fractions of a millisecond are cut off", got.Tick)
	}
}

// libevent's test-ratelim has 1000 ± 50 B/s over 5 s; here it is ± 10, for
// any place in a tick that a connection may begin at.
func TestRateLimitReadAndWriteHold1000BytesPerSecond(t *testing.T) {
	for _, begin := range []time.Duration{0, 1, 33, 50, 77, 99} {
		b := newLab(t, nil)
		b.pass(begin * time.Millisecond)
		in, out := b.flow(), b.pour()
		b.limit(in, bev.RateLimit{Read: 1000})
		b.limit(out, bev.RateLimit{Write: 1000})
		for s := 5; s <= 20; s += 5 {
			b.pass(5 * time.Second)
			seconds := float64(s)
			wantNear(t, "read B/s", float64(in.Stats().BytesRead)/seconds, 1000, 10)
			wantNear(t, "written B/s", float64(out.Stats().BytesWritten)/seconds, 1000, 10)
			// In absolute terms it is never more than half a tick away.
			wantNear(t, "bytes read", float64(in.Stats().BytesRead), 1000*seconds, 51)
			wantNear(t, "bytes written", float64(out.Stats().BytesWritten), 1000*seconds, 51)
		}
		if n := in.Stats().BytesWritten + out.Stats().BytesRead; n != 0 {
			t.Errorf("%d bytes went the wrong way", n)
		}
	}
}

func TestRateLimit50kBWithTicksOf100msIsWithinOnePercent(t *testing.T) {
	b := newLab(t, nil)
	in, out := b.flow(), b.pour()
	limit := bev.RateLimit{Read: 50_000, Write: 50_000, Tick: 100 * time.Millisecond}
	b.limit(in, limit)
	b.limit(out, limit)
	b.pass(10 * time.Second)
	wantNear(t, "read B/s", float64(in.Stats().BytesRead)/10, 50_000, 500)
	wantNear(t, "written B/s", float64(out.Stats().BytesWritten)/10, 50_000, 500)
}

// Rates that do not divide by the tick must not drift: the fractions add up.
func TestRateLimitDoesNotDrift(t *testing.T) {
	for _, c := range []struct {
		rate int
		tick time.Duration
	}{{1, tick}, {7, tick}, {999, 7 * time.Millisecond}, {3, time.Millisecond}} {
		b := newLab(t, nil)
		in := b.flow()
		b.limit(in, bev.RateLimit{Read: c.rate, Tick: c.tick})
		d := 20_000 * c.tick
		b.pass(d)
		wantNear(t, "bytes in 20000 ticks", float64(in.Stats().BytesRead), float64(c.rate)*d.Seconds(), 1+float64(c.rate)*c.tick.Seconds())
	}
}

// Two limits with ticks of different lengths on one Loop have a timer each.
func TestRateLimitTicksAreAsLongAsSaid(t *testing.T) {
	b := newLab(t, nil)
	count := func(tick time.Duration) (c *bev.Conn, reads func() int) {
		c = b.flow()
		n := 0
		cb := c.Callbacks()
		cb.Read = func(c *bev.Conn) { n++; c.Input().Reset() }
		c.SetCallbacks(cb)
		b.limit(c, bev.RateLimit{Read: 10_000, Tick: tick})
		return c, func() int { return n }
	}
	_, slow := count(100 * time.Millisecond)
	_, fast := count(10 * time.Millisecond)
	b.pass(0)
	before, beforeFast := slow(), fast()
	b.pass(time.Second)
	if n := slow() - before; n < 10 || n > 11 {
		t.Errorf("%d reads in a second with ticks of 100ms, want 10", n)
	}
	if n := fast() - beforeFast; n < 100 || n > 101 {
		t.Errorf("%d reads in a second with ticks of 10ms, want 100", n)
	}
}

func TestRateLimitSavesUpToTheBurst(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	sink(c)
	b.limit(c, bev.RateLimit{Read: 1000, ReadBurst: 3000})
	b.pass(time.Minute)
	if n := c.ReadLimit(); n != 3000 {
		t.Fatalf("after a minute of silence %d bytes may be read, want the burst of 3000", n)
	}
	flood(plain, 64<<10)
	b.pass(0)
	if n := c.Stats().BytesRead; n != 3000 {
		t.Errorf("%d bytes were read at once, want the burst of 3000", n)
	}
	b.pass(10 * time.Second)
	wantNear(t, "bytes after the burst", float64(c.Stats().BytesRead-3000), 10_000, 0)
}

func TestRateLimitWithASmallBurstIsReached(t *testing.T) {
	b := newLab(t, nil)
	in := b.flow()
	b.limit(in, bev.RateLimit{Read: 1000, ReadBurst: 100}) // one tick's
	b.pass(10 * time.Second)
	wantNear(t, "bytes read", float64(in.Stats().BytesRead), 10_000, 51)
}

// A loop that is late by more than a tick loses nothing: what the missed ticks
// would have brought is there at the next.
func TestRateLimitOutlastsALateLoop(t *testing.T) {
	b := newLab(t, nil)
	in := b.flow()
	b.limit(in, bev.RateLimit{Read: 1000})
	b.pass(730 * time.Millisecond)
	in.Disable(bev.Reading)
	b.pass(470 * time.Millisecond)
	in.Enable(bev.Reading)
	b.pass(800 * time.Millisecond)
	wantNear(t, "bytes read in two seconds", float64(in.Stats().BytesRead), 2000, 51)
}

func TestRateLimitDirectionsAreIndependent(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	flood(plain, 16<<10)
	sink(plain)
	sink(c)
	c.Write(make([]byte, 1<<20))
	b.limit(c, bev.RateLimit{Read: 1000}) // writing has no limit
	b.pass(time.Second)
	wantNear(t, "bytes read", float64(c.Stats().BytesRead), 1000, 51)
	if n := c.WriteLimit(); n != math.MaxInt {
		t.Errorf("WriteLimit without a limit is %d, want math.MaxInt", n)
	}
	if n := c.Stats().BytesWritten; n != 1<<20 {
		t.Errorf("%d bytes were written, want all", n)
	}
}

// Design: unlike libevent, where a limit replaces these bounds.
func TestRateLimitKeepsMaxSingleReadAndWrite(t *testing.T) {
	b := newLab(t, nil)
	in, out := b.flow(), b.pour()
	mostIn, mostOut, before := 0, uint64(0), uint64(0)
	in.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
		mostIn = max(mostIn, c.Input().Len())
		c.Input().Reset()
	}})
	out.SetCallbacks(bev.Callbacks{Write: func(c *bev.Conn) { // after each write
		mostOut = max(mostOut, c.Stats().BytesWritten-before)
		before = c.Stats().BytesWritten
		if c.Output().Len() == 0 {
			c.Write(make([]byte, 16<<10))
		}
	}})
	if err := out.SetWatermark(bev.Writing, bev.Watermark{Low: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	in.SetMaxSingle(700, 0)
	out.SetMaxSingle(0, 600)
	limit := bev.RateLimit{Read: 1 << 20, Write: 1 << 20}
	b.limit(in, limit)
	b.limit(out, limit)
	if n := in.MaxToRead(); n != 700 {
		t.Errorf("MaxToRead is %d, want the bound of one read, 700", n)
	}
	if n := out.MaxToWrite(); n != 600 {
		t.Errorf("MaxToWrite is %d, want the bound of one write, 600", n)
	}
	b.pass(time.Second)
	if mostIn != 700 || mostOut != 600 {
		t.Errorf("the largest read was %d and the largest write %d, want 700 and 600", mostIn, mostOut)
	}
	wantNear(t, "bytes read", float64(in.Stats().BytesRead), 1<<20, 1<<20/19)
	wantNear(t, "bytes written", float64(out.Stats().BytesWritten), 1<<20, 1<<20/19)
}

func TestRateLimitChangesWhileRunning(t *testing.T) {
	b := newLab(t, nil)
	in := b.flow()
	total := 0.0
	for _, rate := range []int{1000, 50_000, 10, 1000, 0, 7777} {
		if rate == 0 {
			if err := in.SetRateLimit(nil); err != nil {
				t.Fatal(err)
			}
			in.Disable(bev.Reading) // without a limit it would be gigabytes
		} else {
			b.limit(in, bev.RateLimit{Read: rate, ReadBurst: max(rate/9, 1)})
			in.Enable(bev.Reading)
		}
		b.pass(5*time.Second + 37*time.Millisecond)
		was := total
		total = float64(in.Stats().BytesRead)
		wantNear(t, "bytes since the change", total-was, float64(rate)*5.037, float64(rate)*0.2+11)
	}
}

// What a bucket holds stays through a change: setting a limit again and again
// neither makes bytes nor loses any.
func TestRateLimitSetAgainIsNoLoophole(t *testing.T) {
	b := newLab(t, nil)
	in := b.flow()
	for i := range 1000 {
		b.limit(in, bev.RateLimit{Read: 1000, Tick: []time.Duration{0, 30 * time.Millisecond}[i%2]})
		b.pass(10 * time.Millisecond)
	}
	wantNear(t, "bytes read in ten seconds", float64(in.Stats().BytesRead), 10_000, 101)
}

func TestRateLimitLowerBurstClips(t *testing.T) {
	b := newLab(t, nil)
	_, c := b.wire(nil)
	b.limit(c, bev.RateLimit{Read: 1000, Write: 1000})
	b.pass(time.Minute)
	b.limit(c, bev.RateLimit{Read: 1000, ReadBurst: 200, Write: 1000, WriteBurst: 5000})
	if r, w := c.ReadLimit(), c.WriteLimit(); r != 200 || w != 1000 {
		t.Errorf("the buckets hold %d and %d, want 200, the new burst, and 1000 as before", r, w)
	}
}

func TestRateLimitRemovedResumesAtOnce(t *testing.T) {
	b := newLab(t, nil)
	in, out := b.flow(), b.pour()
	b.limit(in, bev.RateLimit{Read: 1000})
	b.limit(out, bev.RateLimit{Write: 1000})
	b.pass(10 * time.Millisecond)
	if r, w := in.Suspended(bev.Reading), out.Suspended(bev.Writing); r != bev.ReasonRate || w != bev.ReasonRate {
		t.Fatalf("suspended for %v and %v, want rate", r, w)
	}
	in.SetRateLimit(nil)
	out.SetRateLimit(nil)
	if r, w := in.Suspended(bev.Reading), out.Suspended(bev.Writing); r != 0 || w != 0 {
		t.Errorf("without a limit suspended for %v and %v", r, w)
	}
	if _, ok := in.RateLimit(); ok {
		t.Error("RateLimit still reports a limit")
	}
	if n := b.l.Stats().Timers; n != 0 {
		t.Errorf("%d timers are armed, and nobody waits", n)
	}
	// Without a limit it would go on for ever.
	in.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.Disable(bev.Reading) }})
	out.SetCallbacks(bev.Callbacks{})
	b.pass(0)
	if n, held := in.Stats().BytesRead, out.Output().Len(); n < 10_000 || held != 0 {
		t.Errorf("%d bytes were read and %d are not written after the limit was gone", n, held)
	}
}

func TestRateLimitManualChargeSuspendsAndRefundResumes(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	sink(c)
	b.limit(c, bev.RateLimit{Read: 1000, Write: 2000})
	start, startW := c.ReadLimit(), c.WriteLimit()
	if start != 50 || startW != 100 {
		t.Fatalf("a new limit has %d and %d bytes, want half of what a tick brings, 50 and 100", start, startW)
	}
	c.DecrementReadLimit(550)
	c.DecrementWriteLimit(1100)
	if r, w := c.ReadLimit(), c.WriteLimit(); r != -500 || w != -1000 {
		t.Errorf("after the charge there are %d and %d bytes, want -500 and -1000", r, w)
	}
	if r, w := c.Suspended(bev.Reading), c.Suspended(bev.Writing); r&bev.ReasonRate == 0 || w != bev.ReasonRate {
		t.Errorf("in debt suspended for %v and %v, want rate", r, w)
	}
	if c.MaxToRead() != 0 || c.MaxToWrite() != 0 {
		t.Errorf("in debt %d and %d bytes may move, want 0", c.MaxToRead(), c.MaxToWrite())
	}
	flood(plain, 1<<10)
	c.WriteString("x")
	b.pass(490 * time.Millisecond)
	if s := c.Stats(); s.BytesRead != 0 || s.BytesWritten != 0 {
		t.Errorf("%d bytes were read and %d written while time had not paid the debt", s.BytesRead, s.BytesWritten)
	}
	c.DecrementReadLimit(-300)
	if r := c.Suspended(bev.Reading); r != 0 {
		t.Errorf("after a refund reading is suspended for %v", r)
	}
	b.pass(0)
	if n := c.Stats().BytesRead; n != 200 {
		t.Errorf("%d bytes were read after the refund, want the 200 that were left", n)
	}
	c.DecrementReadLimit(math.MinInt)
	c.DecrementWriteLimit(math.MinInt)
	if r, w := c.ReadLimit(), c.WriteLimit(); r != 1000 || w != 2000 {
		t.Errorf("refunds filled the buckets to %d and %d, want the bursts", r, w)
	}
	c.DecrementReadLimit(math.MaxInt)
	c.DecrementReadLimit(math.MaxInt)
	if n := c.ReadLimit(); n > -math.MaxInt/8 {
		t.Errorf("after two enormous charges there are %d bytes", n)
	}
}

func TestRateLimitGettersWithoutALimit(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 500}, MaxSingleWrite: 300})
	if c.ReadLimit() != math.MaxInt || c.WriteLimit() != math.MaxInt {
		t.Errorf("limits are %d and %d, want math.MaxInt", c.ReadLimit(), c.WriteLimit())
	}
	c.DecrementReadLimit(1 << 30)
	c.DecrementWriteLimit(1 << 30)
	if c.ReadLimit() != math.MaxInt || c.WriteLimit() != math.MaxInt || c.RateGroup() != nil {
		t.Error("a charge without a limit has left something")
	}
	if r, w := c.MaxToRead(), c.MaxToWrite(); r != 500 || w != 300 {
		t.Errorf("MaxToRead and MaxToWrite are %d and %d, want the room below the mark, 500, and the bound of a write, 300", r, w)
	}
	plain.Write(make([]byte, 400))
	c.Enable(bev.Reading)
	b.pass(0)
	if n := c.MaxToRead(); n != 100 {
		t.Errorf("MaxToRead is %d with 400 of 500 bytes in Input, want 100", n)
	}
	plain.Write(make([]byte, 400))
	b.pass(0)
	if n := c.MaxToRead(); n != 0 {
		t.Errorf("MaxToRead is %d at the high mark, want 0", n)
	}
	c.Close()
	if c.MaxToRead() != 0 || c.MaxToWrite() != 0 {
		t.Error("a closed Conn may move bytes")
	}
	if err := c.SetRateLimit(&bev.RateLimit{Read: 1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetRateLimit on a closed Conn: %v, want net.ErrClosed", err)
	}
}

func TestRateReasonsHaveNames(t *testing.T) {
	r := bev.ReasonRate | bev.ReasonGroupRate | bev.ReasonBudget
	if s := r.String(); s != "rate|group rate|memory budget" {
		t.Errorf("%q", s)
	}
}

// Ticks end at multiples of their length on the loop's clock, whenever a limit
// was set, so that all who wait are woken together.
func TestRateLimitTicksAreAligned(t *testing.T) {
	b := newLab(t, nil)
	b.pass(33 * time.Millisecond)
	c := b.flow()
	b.limit(c, bev.RateLimit{Read: 10_000})
	b.pass(66 * time.Millisecond)
	if n := c.Stats().BytesRead; n != 500 {
		t.Fatalf("%d bytes were read before the tick ends, want the 500 of the start", n)
	}
	b.pass(2 * time.Millisecond)
	if n := c.Stats().BytesRead; n < 1165 || n > 1175 {
		t.Errorf("%d bytes were read when the tick has ended, want 67 ms worth more, 1170", n)
	}
}

// Time that passed without any I/O is accounted for before a charge and before
// a change, or the one would be free and the other a gift.
func TestRateLimitAccountsForSilence(t *testing.T) {
	b := newLab(t, nil)
	_, c := b.wire(nil)
	b.limit(c, bev.RateLimit{Read: 10, ReadBurst: 100_000})
	g := b.group(bev.RateLimit{Read: 10, ReadBurst: 100_000}, c)
	b.pass(time.Minute)
	b.limit(c, bev.RateLimit{Read: 1000, ReadBurst: 100_000})
	if err := g.SetLimit(bev.RateLimit{Read: 1000, ReadBurst: 100_000}); err != nil {
		t.Fatal(err)
	}
	b.pass(tick)
	wantNear(t, "the Conn's level after a minute of 10 B/s and a tick of 1000", float64(c.ReadLimit()), 700, 2)
	wantNear(t, "the group's level", float64(g.ReadLimit()), 700, 2)
	b.pass(time.Hour)
	c.DecrementReadLimit(40_000)
	g.DecrementReadLimit(40_000)
	if own, of := c.ReadLimit(), g.ReadLimit(); own != 60_000 || of != 60_000 {
		t.Errorf("after an hour and a charge of 40000 the levels are %d and %d, want 60000", own, of)
	}
}

// A new length of tick holds at once for who waits for the end of an old one.
func TestRateLimitTickChangesWhileWaiting(t *testing.T) {
	b := newLab(t, nil)
	var conns []*bev.Conn
	for range 3 {
		c := b.flow()
		b.limit(c, bev.RateLimit{Read: 1000})
		conns = append(conns, c)
	}
	g := b.group(bev.RateLimit{Read: 1000}, b.flow())
	b.pass(tick)
	for _, c := range conns {
		b.limit(c, bev.RateLimit{Read: 1000, Tick: 5 * time.Millisecond})
	}
	if err := g.SetLimit(bev.RateLimit{Read: 1000, Tick: 5 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if p, n := b.l.Pacers(); p != 2 || n != 4 || b.l.Stats().Timers != 1 {
		t.Errorf("%d wait at %d pacers with %d timers, want 4 at the new one", n, p, b.l.Stats().Timers)
	}
	before, _ := g.Totals()
	own := conns[0].Stats().BytesRead
	b.pass(50 * time.Millisecond)
	after, _ := g.Totals()
	wantNear(t, "bytes of one in half a long tick", float64(conns[0].Stats().BytesRead-own), 50, 5)
	wantNear(t, "bytes of the group in half a long tick", float64(after-before), 50, 64)
	for _, c := range conns {
		c.Close()
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if _, n := b.l.Pacers(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}
