//go:build unix

package bev_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// How rate limits get on with the other parts of a Conn, and with other kinds
// of it.

// A direction that waits for a tick has no timeout: the peer is not to blame.
func TestRateLimitStopsTheTimeoutsOfItsDirection(t *testing.T) {
	b := newLab(t, nil)
	in, out := b.flow(), b.pour()
	for _, c := range []*bev.Conn{in, out} {
		cb := c.Callbacks()
		cb.Event = func(_ *bev.Conn, what bev.Event, err error) { t.Errorf("event %v, %v", what, err) }
		c.SetCallbacks(cb)
		c.SetTimeouts(50*time.Millisecond, 50*time.Millisecond)
	}
	b.limit(in, bev.RateLimit{Read: 100})
	b.limit(out, bev.RateLimit{Write: 100})
	in.DecrementReadLimit(2000)
	out.DecrementWriteLimit(2000)
	b.pass(30 * time.Second)
	wantNear(t, "bytes read", float64(in.Stats().BytesRead), 1000, 11)
	wantNear(t, "bytes written", float64(out.Stats().BytesWritten), 1000, 11)
}

// The last byte may use up the limit. The end of file does not wait for more.
func TestRateLimitDoesNotHoldBackTheEnd(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	var eof time.Time
	plain.SetCallbacks(bev.Callbacks{
		Read:  func(c *bev.Conn) { c.Input().Reset() },
		Event: func(c *bev.Conn, what bev.Event, err error) { eof = b.l.Now() },
	})
	plain.Enable(bev.Reading)
	b.limit(c, bev.RateLimit{Write: 100, Tick: tick})
	start := b.l.Now()
	c.Write(make([]byte, 105)) // 5 to begin with, and ten ticks of 10
	c.CloseWrite()
	b.pass(10 * time.Second)
	if d := eof.Sub(start); d < 995*time.Millisecond || d > 1005*time.Millisecond {
		t.Errorf("the end came after %v, want it with the last byte after 1s", d)
	}
}

func TestRateLimitPacesCloseAfterFlush(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	got := 0
	plain.SetCallbacks(bev.Callbacks{
		Read: func(c *bev.Conn) { got += c.Input().Len(); c.Input().Reset() },
	})
	plain.Enable(bev.Reading)
	b.limit(c, bev.RateLimit{Write: 1000})
	c.Write(make([]byte, 5000))
	c.CloseAfterFlush(0)
	b.pass(4 * time.Second)
	if got < 3900 || got > 4100 || c.Closed() {
		t.Errorf("after 4 s %d bytes have come, closed: %v; want 4000 and not closed", got, c.Closed())
	}
	b.pass(2 * time.Second)
	if got != 5000 || !c.Closed() {
		t.Errorf("%d of 5000 bytes came, closed: %v", got, c.Closed())
	}
	if p, n := b.l.Pacers(); p != 1 || n != 0 || b.l.Stats().Timers != 0 {
		t.Errorf("%d wait for a tick after the close, %d timers", n, b.l.Stats().Timers)
	}
}

// A reset does not overtake bytes that a limit has left in the kernel: time
// will bring them. (Where the user has stopped reading, it is told at once.)
func TestRateLimitDeliversBytesBeforeAReset(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	b.limit(c, bev.RateLimit{Read: 1000})
	got, told := 0, ""
	c.SetCallbacks(bev.Callbacks{
		Read:  func(c *bev.Conn) { got += c.Input().Len(); c.Input().Reset() },
		Event: func(c *bev.Conn, what bev.Event, err error) { told += what.String() + " " },
	})
	c.Enable(bev.Reading)
	plain.Write(make([]byte, 2000))
	b.pass(500 * time.Millisecond)
	c.WriteString("unread, so that closing is a reset")
	b.pass(0)
	plain.Close()
	b.pass(500 * time.Millisecond)
	if told != "" || got > 1100 {
		t.Fatalf("after a second %d bytes and %q, want half of the bytes and no event", got, told)
	}
	b.pass(5 * time.Second)
	if got != 2000 || told != "reading|error " {
		t.Errorf("%d of 2000 bytes came, then %q; want all and one error", got, told)
	}
}

// The same for a write that fails while a limit keeps bytes from being read.
func TestRateLimitDeliversBytesBeforeAWriteError(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	b.limit(c, bev.RateLimit{Read: 1000})
	got, told := 0, ""
	c.SetCallbacks(bev.Callbacks{
		Read:  func(c *bev.Conn) { got += c.Input().Len(); c.Input().Reset() },
		Event: func(c *bev.Conn, what bev.Event, err error) { told += what.String() + " " },
	})
	c.Enable(bev.Reading)
	plain.Write(make([]byte, 1000))
	b.pass(10 * time.Millisecond)
	plain.Close() // nothing unread: an end, not a reset
	c.WriteString("to nobody")
	b.pass(100 * time.Millisecond)
	if told != "" {
		t.Fatalf("%q is told while bytes are to be read", told)
	}
	b.pass(5 * time.Second)
	if got != 1000 || !strings.Contains(told, "eof") && !strings.Contains(told, "error") {
		t.Errorf("%d of 1000 bytes came, then %q", got, told)
	}
}

// One timer serves all who wait for ticks of one length, and none is there
// when nobody waits.
func TestRateLimitNeedsOneTimerForAll(t *testing.T) {
	b := newLab(t, nil)
	var conns []*bev.Conn
	for range 50 {
		c := b.flow()
		b.limit(c, bev.RateLimit{Read: 1000})
		conns = append(conns, c)
	}
	b.pass(time.Second)
	if p, n := b.l.Pacers(); p != 1 || n != 50 {
		t.Errorf("%d wait at %d pacers, want 50 at one", n, p)
	}
	if n := b.l.Stats().Timers; n != 1 {
		t.Errorf("%d timers are armed for 50 connections, want 1", n)
	}
	for i, c := range conns {
		if i%2 == 0 {
			c.Close()
		} else {
			c.SetRateLimit(nil)
			c.Disable(bev.Reading)
		}
	}
	if _, n := b.l.Pacers(); n != 0 || b.l.Stats().Timers != 0 {
		t.Errorf("%d wait and %d timers are armed after all limits are gone", n, b.l.Stats().Timers)
	}
}

// A Conn that has a limit and nothing to do costs no timer and no tick.
func TestRateLimitIsFreeWhileIdle(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	sink(c)
	b.limit(c, bev.RateLimit{Read: 1000, Write: 1000})
	plain.WriteString("hi")
	b.pass(time.Second)
	before := b.l.Stats().Ticks
	b.pass(time.Hour)
	if n := b.l.Stats().Ticks - before; n > 5 {
		t.Errorf("the loop ran %d ticks in an hour of silence", n)
	}
}

// A filter's limit is about what goes over the wire. This one writes each byte
// twice, and drops every other byte that comes.
func TestRateLimitOfAFilterCountsTransportBytes(t *testing.T) {
	b := newLab(t, nil)
	plain, under := b.wire(nil)
	flood(plain, 16<<10)
	sink(plain)
	c, err := bev.NewFilter(under, doubling{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	flood(c, 1<<10)
	sink(c)
	b.limit(c, bev.RateLimit{Read: 1000, Write: 500})
	g := b.group(bev.RateLimit{}, c)
	if r, ok := under.RateLimit(); !ok || r.Read != 1000 || under.RateGroup() != g || c.RateGroup() != g {
		t.Errorf("the limit of the filter is not that of the connection under it: %+v", r)
	}
	b.pass(10 * time.Second)
	wantNear(t, "transport bytes read", float64(under.Stats().BytesRead), 10_000, 51)
	wantNear(t, "transport bytes written", float64(under.Stats().BytesWritten), 5000, 51)
	wantNear(t, "bytes out of the filter", float64(c.Stats().BytesRead), 5000, 51)
	read, written := g.Totals()
	wantNear(t, "the group's transport bytes read", float64(read), 10_000, 51)
	wantNear(t, "the group's transport bytes written", float64(written), 5000, 51)
	if r, w := c.MaxToRead(), c.MaxToWrite(); r != 0 || w != 0 {
		t.Errorf("through the filter %d and %d bytes may move now, want none until the next tick", r, w)
	}
	g.Remove(c)
	c.SetRateLimit(nil)
	if _, ok := under.RateLimit(); ok || under.RateGroup() != nil {
		t.Error("what the filter took off is still there under it")
	}
}

// doubling is a Filter.
type doubling struct{}

func (doubling) In(s *bev.FilterStreams, _ bev.FlushMode) error {
	for s.FromBelow.Len() >= 2 && s.UserRoom > 0 {
		n := min(s.FromBelow.Len()/2, s.UserRoom)
		s.ToUser.Move(s.FromBelow, n)
		s.FromBelow.Drain(n)
		s.UserRoom -= n
	}
	return nil
}

func (doubling) Out(s *bev.FilterStreams, _ bev.FlushMode) error {
	n := min(s.FromUser.Len(), s.BelowRoom/2)
	s.ToBelow.Append(make([]byte, n))
	s.ToBelow.Move(s.FromUser, n)
	return nil
}

// Both ends of a pair may have limits.
func TestRateLimitOnAPair(t *testing.T) {
	for _, reader := range []bool{true, false} {
		b := newLab(t, nil)
		from, to, err := bev.Pair(b.l, nil)
		if err != nil {
			t.Fatal(err)
		}
		flood(from, 4<<10)
		sink(to)
		if reader {
			b.limit(to, bev.RateLimit{Read: 1000})
		} else {
			b.limit(from, bev.RateLimit{Write: 1000})
		}
		b.pass(10 * time.Second)
		wantNear(t, "bytes through the pair", float64(to.Stats().BytesRead), 10_000, 51)
		g := b.group(bev.RateLimit{Read: 500, Write: 500}, from, to)
		b.pass(10 * time.Second)
		wantNear(t, "bytes through the pair in a group", float64(to.Stats().BytesRead), 15_000, 201)
		g.Close()
		from.Close()
		to.Close()
	}
}

// A relay that moves bytes inside the kernel comes back from there for a limit.
func TestRateLimitOnARelay(t *testing.T) {
	b := newLab(t, nil)
	client, a := b.wire(nil)
	c, server := b.wire(nil)
	flood(client, 256<<10)
	relay, err := bev.Relay(a, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	var read, written uint64 // when the limits were set
	server.SetCallbacks(bev.Callbacks{Read: func(s *bev.Conn) {
		s.Input().Reset()
		if s.Stats().BytesRead > 8<<20 && read == 0 {
			read, written = a.Stats().BytesRead, c.Stats().BytesWritten
			b.limit(a, bev.RateLimit{Read: 10_000})
			b.limit(c, bev.RateLimit{Write: 5000})
		}
	}})
	server.Enable(bev.Reading)
	b.pass(10 * time.Second)
	if relay.Result().Spliced == 0 {
		t.Error("the relay has not gone by way of the kernel: the test shows nothing")
	}
	wantNear(t, "bytes read by the relay", float64(a.Stats().BytesRead-read), 100_000, 1001)
	wantNear(t, "bytes written by the relay", float64(c.Stats().BytesWritten-written), 50_000, 501)
}

// What a relay hands straight on is no more than the bucket holds, either.
func TestRateLimitOnARelayFromTheStart(t *testing.T) {
	b := newLab(t, nil)
	client, a := b.wire(nil)
	c, server := b.wire(nil)
	sink(server)
	b.limit(c, bev.RateLimit{Write: 5000})
	if _, err := bev.Relay(a, c, nil); err != nil {
		t.Fatal(err)
	}
	client.Write(make([]byte, 20_000))
	b.pass(0)
	if n := server.Stats().BytesRead; n != 250 {
		t.Errorf("%d bytes came at once, want the 250 of the start", n)
	}
	b.pass(5 * time.Second)
	if n := server.Stats().BytesRead; n != 20_000 {
		t.Errorf("%d of 20000 bytes came", n)
	}
}

// An end of a pair that the other end had to leave alone for a while, because
// it was not writing, goes on when that does.
func TestPairGoesOnWhenTheWriterDoes(t *testing.T) {
	b := newLab(t, nil)
	from, to, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	sink(to)
	to.Disable(bev.Reading)
	from.WriteString("hello")
	b.pass(0) // now the other end knows
	from.Disable(bev.Writing)
	to.Enable(bev.Reading)
	b.pass(0)
	if n := to.Stats().BytesRead; n != 0 {
		t.Fatalf("%d bytes have come from an end that does not write", n)
	}
	from.Enable(bev.Writing)
	b.pass(0)
	if n := to.Stats().BytesRead; n != 5 {
		t.Errorf("%d of 5 bytes have come", n)
	}
	b.l.AfterFunc(time.Hour, func() {})
	before := b.l.Stats().Ticks
	b.pass(time.Minute)
	if n := b.l.Stats().Ticks - before; n > 3 {
		t.Errorf("%d ticks in a minute of silence", n)
	}
}

// Enable owes a Write callback for an empty Output, also to who waits for a
// tick.
func TestRateLimitEnableOwesAWriteCallback(t *testing.T) {
	b := newLab(t, nil)
	_, c := b.wire(nil)
	b.limit(c, bev.RateLimit{Write: 1000})
	c.DecrementWriteLimit(1000)
	writes := 0
	c.SetCallbacks(bev.Callbacks{Write: func(*bev.Conn) { writes++ }})
	c.Enable(bev.Writing)
	b.pass(0)
	if writes != 1 {
		t.Errorf("%d Write callbacks, want 1", writes)
	}
}

// A limit may be set as early as in the accept function, and counts from the
// first byte.
func TestRateLimitFromTheAcceptFunctionOn(t *testing.T) {
	r := run(t, nil)
	c, p := r.accept(nil, func(c *bev.Conn) {
		if err := c.SetRateLimit(&bev.RateLimit{Read: 1000}); err != nil {
			t.Errorf("SetRateLimit: %v", err)
		}
		c.DecrementReadLimit(math.MaxInt) // so that no time is enough
		c.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { t.Error("bytes were read") }})
		c.Enable(bev.Reading)
	})
	p.send("hello")
	r.wantSuspended(c, bev.Reading, bev.ReasonRate, "it has an enormous debt")
	r.on(func() {
		c.SetCallbacks(bev.Callbacks{})
		c.SetRateLimit(nil)
	})
	r.until(func() bool { return c.Input().Len() == 5 }, "the bytes to come")
}
