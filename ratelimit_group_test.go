//go:build unix

package bev_test

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// spread says how evenly connections were served, in bytes per second.
type spread struct {
	total, mean, stddev float64
	least, most         float64
}

func spreadOf(bytes []uint64, d time.Duration) spread {
	s := spread{least: math.Inf(1)}
	for _, n := range bytes {
		v := float64(n) / d.Seconds()
		s.total += v
		s.stddev += v * v
		s.least, s.most = min(s.least, v), max(s.most, v)
	}
	n := float64(len(bytes))
	s.mean = s.total / n
	s.stddev = math.Sqrt(max(s.stddev/n-s.mean*s.mean, 0))
	return s
}

func (s spread) String() string {
	return fmt.Sprintf("total %.1f B/s, mean %.2f, stddev %.2f, from %.2f to %.2f", s.total, s.mean, s.stddev, s.least, s.most)
}

func bytesRead(conns []*bev.Conn) (n []uint64) {
	for _, c := range conns {
		n = append(n, c.Stats().BytesRead)
	}
	return n
}

func bytesWritten(conns []*bev.Conn) (n []uint64) {
	for _, c := range conns {
		n = append(n, c.Stats().BytesWritten)
	}
	return n
}

// ratelim is libevent's test-ratelim: 30 connections, 5 seconds.
type ratelim struct {
	members  int
	own      bev.RateLimit // zero: none
	group    bev.RateLimit // zero: none
	drain    int           // bytes that something else takes from the group each 100 ms
	duration time.Duration
}

func (s ratelim) run(t *testing.T, write bool) spread {
	b := newLab(t, nil)
	var conns []*bev.Conn
	for range s.members {
		c := b.flow
		if write {
			c = b.pour
		}
		conns = append(conns, c())
	}
	if s.group != (bev.RateLimit{}) {
		g := b.group(s.group, conns...)
		if s.drain > 0 {
			b.l.Every(100*time.Millisecond, func() {
				g.DecrementReadLimit(s.drain)
				g.DecrementWriteLimit(s.drain)
			})
		}
	}
	for _, c := range conns {
		if s.own != (bev.RateLimit{}) {
			b.limit(c, s.own)
		}
	}
	b.pass(s.duration)
	moved := bytesRead(conns)
	if write {
		moved = bytesWritten(conns)
	}
	return spreadOf(moved, s.duration)
}

// both runs f for reading and for writing.
func both(t *testing.T, f func(t *testing.T, write bool)) {
	t.Run("read", func(t *testing.T) { f(t, false) })
	t.Run("write", func(t *testing.T) { f(t, true) })
}

// The scenario of libevent's test-ratelim.sh, with its group of 30000 B/s;
// libevent allows a total 1000 off and a standard deviation of 100, and
// measures 31.
func TestRateGroupHolds30000BytesPerSecondFor30(t *testing.T) {
	both(t, func(t *testing.T, write bool) {
		s := ratelim{members: 30, group: bev.RateLimit{Read: 30_000, Write: 30_000}, duration: 5 * time.Second}.run(t, write)
		t.Log(s)
		wantNear(t, "total B/s", s.total, 30_000, 301)
		if s.stddev > 20 {
			t.Errorf("standard deviation of the shares %.1f B/s, want at most 20 (the bound to beat is 100)", s.stddev)
		}
	})
}

func TestRateGroupAndOwnLimitsHoldAtOnce(t *testing.T) {
	both(t, func(t *testing.T, write bool) {
		s := ratelim{
			members: 30, duration: 5 * time.Second,
			own:   bev.RateLimit{Read: 1000, Write: 1000},
			group: bev.RateLimit{Read: 30_000, Write: 30_000},
		}.run(t, write)
		t.Log(s)
		wantNear(t, "total B/s", s.total, 30_000, 301)
		wantNear(t, "the greatest share", s.most, 1000, 11)
		wantNear(t, "the smallest share", s.least, 1000, 20)
	})
}

// Bytes that go elsewhere are charged to the group.
func TestRateGroupPaysForWhatIsDecremented(t *testing.T) {
	both(t, func(t *testing.T, write bool) {
		s := ratelim{
			members: 30, duration: 5 * time.Second, drain: 500,
			own:   bev.RateLimit{Read: 1000, Write: 1000},
			group: bev.RateLimit{Read: 30_000, Write: 30_000},
		}.run(t, write)
		t.Log(s)
		// Half a tick of the group, and what was just charged to it.
		wantNear(t, "total B/s", s.total, 25_000, 401)
		if s.stddev > 20 {
			t.Errorf("standard deviation of the shares %.1f B/s", s.stddev)
		}
	})
}

// A thousand members that always want more, and 3000 bytes a tick for them: 46
// have their turn in each tick. However long it goes on, no two are further
// apart than one turn.
func TestRateGroupIsFairTo1000Members(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 600 // more than one batch of events
	}
	n = fit(t, n, 2)
	both(t, func(t *testing.T, write bool) {
		for _, d := range []time.Duration{5 * time.Second, 60 * time.Second} {
			t.Run(d.String(), func(t *testing.T) { // whose connections are closed at its end
				s := ratelim{members: n, group: bev.RateLimit{Read: 30_000, Write: 30_000}, duration: d}.run(t, write)
				t.Logf("%d members, %v: %v", n, d, s)
				wantNear(t, "total B/s", s.total, 30_000, 301)
				if apart := (s.most - s.least) * d.Seconds(); apart > bev.DefaultMinShare+0.5 {
					t.Errorf("after %v two members are %.0f bytes apart, want at most one turn of %d", d, apart, bev.DefaultMinShare)
				}
			})
		}
	})
}

// Whether a member's bytes come as one large block or in crumbs, and whether
// it came first or last, is no matter.
func TestRateGroupSharesDoNotDependOnHabits(t *testing.T) {
	b := newLab(t, nil)
	g := b.group(bev.RateLimit{Read: 10_000})
	var conns []*bev.Conn
	for i := range 20 {
		plain, c := b.wire(nil)
		sink(c)
		flood(plain, 100<<(i%10))
		if err := g.Add(c); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		b.pass(3 * time.Millisecond)
	}
	start := bytesRead(conns)
	b.pass(20 * time.Second)
	moved := bytesRead(conns)
	for i := range moved {
		moved[i] -= start[i]
	}
	s := spreadOf(moved, 20*time.Second)
	t.Log(s)
	wantNear(t, "total B/s", s.total, 10_000, 51)
	if apart := (s.most - s.least) * 20; apart > 100 {
		t.Errorf("two members are %.0f bytes apart after 20 s", apart)
	}
}

func TestRateGroupDealsOutNoLessThanTheMinimumShare(t *testing.T) {
	for _, c := range []struct{ set, want int }{{0, 64}, {200, 200}, {-1, 64}, {1 << 20, 300}} {
		b := newLab(t, nil)
		var conns []*bev.Conn
		least, most := math.MaxInt, 0
		for range 50 {
			c := b.flow()
			cb := c.Callbacks()
			cb.Read = func(c *bev.Conn) {
				least, most = min(least, c.Input().Len()), max(most, c.Input().Len())
				c.Input().Reset()
			}
			c.SetCallbacks(cb)
			conns = append(conns, c)
		}
		g := b.group(bev.RateLimit{Read: 3000}, conns...)
		g.SetMinShare(c.set)
		if n, want := g.MinShare(), max(c.set, 0); n != want && (want != 0 || n != bev.DefaultMinShare) {
			t.Errorf("MinShare is %d after SetMinShare(%d)", n, c.set)
		}
		b.pass(10 * time.Second)
		if least != c.want || most != c.want {
			t.Errorf("minimum share %d: reads were between %d and %d bytes, want %d", c.set, least, most, c.want)
		}
		s := spreadOf(bytesRead(conns), 10*time.Second)
		wantNear(t, "total B/s", s.total, 3000, 31)
		if apart := (s.most - s.least) * 10; apart > float64(c.want) {
			t.Errorf("minimum share %d: two members are %.0f bytes apart", c.set, apart)
		}
	}
}

// Who is alone with a demand gets everything, however many others are idle.
func TestRateGroupGivesTheIdleOnesPartToTheBusy(t *testing.T) {
	b := newLab(t, nil)
	busy := []*bev.Conn{b.flow()}
	members := slices.Clone(busy)
	for range 99 {
		_, c := b.wire(nil)
		sink(c)
		members = append(members, c)
	}
	for _, burst := range []int{0, 1000} { // a second's, one tick's
		g := b.group(bev.RateLimit{Read: 10_000, ReadBurst: burst}, members...)
		before := busy[0].Stats().BytesRead
		b.pass(10 * time.Second)
		wantNear(t, "bytes of the busy one", float64(busy[0].Stats().BytesRead-before), 100_000, 1501)
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		busy[0].Disable(bev.Reading)
		b.pass(0)
		busy[0].Enable(bev.Reading)
	}
}

// Members with a small limit of their own take what they may, and the others
// share the rest evenly.
func TestRateGroupGivesWhatTheLimitedLeaveToTheOthers(t *testing.T) {
	for _, ownTick := range []time.Duration{0, 30 * time.Millisecond} {
		for _, burst := range []int{0, 20} { // a second's, one tick's
			b := newLab(t, nil)
			var slow, fast []*bev.Conn
			for i := range 20 {
				c := b.flow()
				if i%2 == 0 {
					b.limit(c, bev.RateLimit{Read: 200, ReadBurst: burst, Tick: ownTick})
					slow = append(slow, c)
				} else {
					fast = append(fast, c)
				}
			}
			b.group(bev.RateLimit{Read: 10_000}, append(slices.Clone(slow), fast...)...)
			b.pass(20 * time.Second)
			s, f := spreadOf(bytesRead(slow), 20*time.Second), spreadOf(bytesRead(fast), 20*time.Second)
			t.Logf("own tick %v, burst %d: limited %v; others %v", ownTick, burst, s, f)
			wantNear(t, "total B/s", s.total+f.total, 10_000, 101)
			wantNear(t, "mean of the limited", s.mean, 200, 10)
			wantNear(t, "mean of the others", f.mean, 800, 15)
			if s.stddev > 5 || f.stddev > 5 {
				t.Errorf("standard deviations %.1f and %.1f", s.stddev, f.stddev)
			}
		}
	}
}

func TestRateGroupChangesWhileRunning(t *testing.T) {
	b := newLab(t, nil)
	conns := []*bev.Conn{b.flow(), b.flow(), b.flow()}
	g := b.group(bev.RateLimit{Read: 3000}, conns...)
	total := 0.0
	for _, r := range []bev.RateLimit{{Read: 3000}, {Read: 60_000}, {Read: 300, Tick: 20 * time.Millisecond}, {Read: 3000}} {
		if err := g.SetLimit(r); err != nil {
			t.Fatal(err)
		}
		if got := g.Limit(); got.Read != r.Read || got.Tick == 0 || got.ReadBurst != r.Read {
			t.Errorf("the limit is %+v after setting %+v", got, r)
		}
		b.pass(5*time.Second + 41*time.Millisecond)
		was := total
		read, _ := g.Totals()
		total = float64(read)
		wantNear(t, "bytes since the change", total-was, float64(r.Read)*5.041, float64(r.Read)*0.1+301)
	}
	if err := g.SetLimit(bev.RateLimit{Read: -1}); err == nil || g.Limit().Read != 3000 {
		t.Errorf("a limit of -1: error %v, limit %+v", err, g.Limit())
	}
	// Without a rate for reading nobody waits any more.
	for _, c := range conns {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.Disable(bev.Reading) }})
	}
	if err := g.SetLimit(bev.RateLimit{Write: 1}); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		if r := c.Suspended(bev.Reading); r != 0 {
			t.Errorf("suspended for %v after the read rate was taken off", r)
		}
	}
	if n := b.l.Stats().Timers; n != 0 {
		t.Errorf("%d timers are armed, and nobody waits", n)
	}
}

func TestRateGroupRemovedMemberGoesOnAtOnce(t *testing.T) {
	b := newLab(t, nil)
	conns := []*bev.Conn{b.flow(), b.flow(), b.flow(), b.flow()}
	g := b.group(bev.RateLimit{Read: 400}, conns...)
	b.pass(time.Second)
	for _, c := range conns {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.Disable(bev.Reading) }})
		if r := c.Suspended(bev.Reading); r != bev.ReasonGroupRate {
			t.Fatalf("suspended for %v, want group rate", r)
		}
	}
	g.Remove(conns[0])
	if err := conns[1].SetRateGroup(nil); err != nil {
		t.Fatal(err)
	}
	other := b.group(bev.RateLimit{Read: 1 << 20})
	if err := conns[2].SetRateGroup(other); err != nil {
		t.Fatal(err)
	}
	for i, want := range []*bev.RateGroup{nil, nil, other, g} {
		if got := conns[i].RateGroup(); got != want {
			t.Errorf("connection %d is in the wrong group", i)
		}
		if r := conns[i].Suspended(bev.Reading); (r == 0) != (i < 3) {
			t.Errorf("connection %d is suspended for %v", i, r)
		}
	}
	if g.Members() != 1 || other.Members() != 1 {
		t.Errorf("the groups have %d and %d members, want 1 and 1", g.Members(), other.Members())
	}
	g.Remove(conns[0]) // not a member any more
	conns[3].Close()
	if _, n := b.l.Pacers(); g.Members() != 0 || n != 0 || b.l.Stats().Timers != 0 {
		t.Errorf("after the last has closed there are %d members, %d wait, %d timers", g.Members(), n, b.l.Stats().Timers)
	}
}

func TestRateGroupCloseFreesItsMembers(t *testing.T) {
	b := newLab(t, nil)
	conns := []*bev.Conn{b.flow(), b.pour()}
	b.limit(conns[0], bev.RateLimit{Read: 100})
	g := b.group(bev.RateLimit{Read: 10, Write: 10}, conns...)
	b.pass(time.Second)
	conns[1].SetCallbacks(bev.Callbacks{})
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if r := conns[0].Suspended(bev.Reading); r&bev.ReasonGroupRate != 0 {
		t.Errorf("suspended for %v after the group is gone", r)
	}
	if _, ok := conns[0].RateLimit(); !ok || conns[0].RateGroup() != nil {
		t.Error("the member has lost its own limit, or kept its group")
	}
	if err := g.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v, want net.ErrClosed", err)
	}
	if err := g.Add(conns[0]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Add to a closed group: %v, want net.ErrClosed", err)
	}
}

func TestRateGroupAddRefusesTheDeadAndTheForeign(t *testing.T) {
	b := newLab(t, nil)
	_, c := b.wire(nil)
	other := newLab(t, nil)
	_, foreign := other.wire(nil)
	g := b.group(bev.RateLimit{Read: 10}, c)
	if err := g.Add(c); err != nil || g.Members() != 1 {
		t.Errorf("adding a member again: %v, %d members", err, g.Members())
	}
	if err := g.Add(foreign); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection of another loop: %v", err)
	}
	c.Close()
	if err := g.Add(c); !errors.Is(err, net.ErrClosed) || g.Members() != 0 {
		t.Errorf("a closed connection: %v, %d members", err, g.Members())
	}
}

// A group without rates counts, and holds nobody back.
func TestRateGroupTotals(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	sink(plain)
	sink(c)
	g := b.group(bev.RateLimit{}, c)
	plain.Write(make([]byte, 3<<20))
	c.Write(make([]byte, 1000))
	b.pass(0)
	if r, w := g.Totals(); r != 3<<20 || w != 1000 {
		t.Errorf("totals %d and %d, want %d and 1000", r, w, 3<<20)
	}
	if g.ReadLimit() != math.MaxInt || g.WriteLimit() != math.MaxInt {
		t.Errorf("a group without rates has limits %d and %d", g.ReadLimit(), g.WriteLimit())
	}
	g.DecrementReadLimit(1 << 30)
	g.DecrementWriteLimit(1 << 30)
	c.Close()
	if r, w := g.Totals(); r != 3<<20 || w != 1000 {
		t.Errorf("totals %d and %d after the member has left", r, w)
	}
	g.ResetTotals()
	if r, w := g.Totals(); r != 0 || w != 0 {
		t.Errorf("totals %d and %d after the reset", r, w)
	}
}

func TestRateGroupManualCharge(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	sink(c)
	g := b.group(bev.RateLimit{Read: 1000, Write: 4000}, c)
	b.pass(time.Minute)
	if r, w := g.ReadLimit(), g.WriteLimit(); r != 1000 || w != 4000 {
		t.Fatalf("after a minute the group holds %d and %d, want its bursts", r, w)
	}
	if n := c.MaxToRead(); n != 1000 {
		t.Fatalf("%d bytes may be read, want the share of the only member, all", n)
	}
	// The share that was promised a moment ago does not outlive the debt.
	g.DecrementReadLimit(1500)
	g.DecrementWriteLimit(-1)
	if r, w := g.ReadLimit(), g.WriteLimit(); r != -500 || w != 4000 {
		t.Errorf("after the charge the group holds %d and %d, want -500 and 4000", r, w)
	}
	plain.Write(make([]byte, 5000))
	b.pass(490 * time.Millisecond)
	if n := c.Stats().BytesRead; n != 0 || c.Suspended(bev.Reading) != bev.ReasonGroupRate {
		t.Errorf("in debt %d bytes were read, suspended for %v", n, c.Suspended(bev.Reading))
	}
	if n := c.MaxToRead(); n != 0 {
		t.Errorf("in debt %d bytes may be read", n)
	}
	g.DecrementReadLimit(-700)
	b.pass(0)
	if n := c.Stats().BytesRead; n != 600 {
		t.Errorf("%d bytes were read after a refund of 700 against a debt that time had brought down to 100", n)
	}
	g.DecrementWriteLimit(4001)
	c.WriteString("x")
	b.pass(0)
	if r := c.Suspended(bev.Writing); r != bev.ReasonGroupRate {
		t.Errorf("writing is suspended for %v, want group rate", r)
	}
	b.pass(tick)
	if n := c.Output().Len(); n != 0 {
		t.Errorf("%d bytes wait after the tick", n)
	}
}

// Who moves more than it was given has a debt in the group's queue, too: a
// flush of a pair moves whatever there is.
func TestRateGroupMemberInDebtWaitsItsTurn(t *testing.T) {
	b := newLab(t, nil)
	from, to, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	sink(to)
	other := b.flow()
	b.group(bev.RateLimit{Read: 10_000}, to, other)
	b.pass(time.Second)
	from.Write(make([]byte, 20_000))
	from.Flush(bev.Writing, bev.FlushAll)
	before := other.Stats().BytesRead
	flood(from, 4<<10)
	b.pass(10 * time.Second)
	// What went at once was too much for its share: the other gets as much
	// before the two are equal again.
	got, went := other.Stats().BytesRead-before, to.Stats().BytesRead
	wantNear(t, "bytes of the group since", float64(got+went), 100_000, 2001)
	wantNear(t, "bytes of the one that waited", float64(got), float64(went), 2001)
}

// What is left when nobody else can be served in this tick is not for those
// who come later: they are behind those who wait.
func TestRateGroupNewcomersDoNotJumpTheQueue(t *testing.T) {
	b := newLab(t, nil)
	var conns []*bev.Conn
	for range 10 {
		conns = append(conns, b.flow())
	}
	g := b.group(bev.RateLimit{Read: 700}, conns...) // one turn of 64 in a tick, and 6 left
	b.pass(3*time.Second + tick/2)
	if n := g.ReadLimit(); n <= 0 {
		t.Fatalf("the group has %d bytes left, the test shows nothing", n)
	}
	late := b.flow()
	if err := g.Add(late); err != nil {
		t.Fatal(err)
	}
	b.pass(0)
	if n := late.Stats().BytesRead; n != 0 || late.Suspended(bev.Reading) != bev.ReasonGroupRate {
		t.Fatalf("the newcomer has read %d bytes, is suspended for %v", n, late.Suspended(bev.Reading))
	}
	before := bytesRead(conns)
	for late.Stats().BytesRead == 0 {
		b.pass(tick)
	}
	after, without := bytesRead(conns), 0
	for i := range after {
		if after[i] == before[i] {
			without++
		}
	}
	if without != 1 { // the one that had its turn in the tick in which the newcomer came
		t.Errorf("%d of ten members have had no turn before the newcomer's, want one", without)
	}
}

// A part that was not used up when the tick ended, because the loop was late,
// is good in the next one, too.
func TestRateGroupPartOutlastsItsTick(t *testing.T) {
	b := newLab(t, nil)
	c, other := b.flow(), b.flow()
	b.group(bev.RateLimit{Read: 20_000}, c, other)
	c.SetMaxSingle(100, 0)
	b.pass(time.Second)
	reads := 0
	c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
		if c.Input().Reset(); reads == 0 {
			c.Disable(bev.Reading) // with 900 of its 1000 left
		}
		reads++
	}})
	b.pass(tick)
	if reads != 1 {
		t.Fatalf("%d reads, want one and then no more", reads)
	}
	b.pass(tick)
	c.Enable(bev.Reading)
	b.pass(0)
	if reads != 10 {
		t.Errorf("%d reads of 100 bytes in all, want the 10 that were its part", reads)
	}
}

func BenchmarkRateGroupTick(b *testing.B) {
	for _, n := range []int{30, 1000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			lab := newLab(b, nil)
			var conns []*bev.Conn
			for range n {
				conns = append(conns, lab.flow())
			}
			lab.group(bev.RateLimit{Read: 1000 * n}, conns...)
			lab.pass(time.Second)
			b.ResetTimer()
			lab.pass(time.Duration(b.N) * tick)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/member/tick")
		})
	}
}
