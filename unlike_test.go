//go:build unix

package bev_test

import (
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// What connections do other than libevent's has a number each, in the table of
// package conformance, and a test here or elsewhere in this package. These are
// those of the numbers from 19 on: where libevent has one rule for sockets and
// another for pairs and filters, or tells a thing twice, or not at all.

// ear hears the callbacks of one Conn.
type ear struct {
	t     *testing.T
	c     *bev.Conn
	drain int // how much the Read callback takes
	said  []string
}

func (b *lab) ear(t *testing.T, c *bev.Conn, drain int) *ear {
	e := &ear{t: t, c: c, drain: drain}
	c.SetCallbacks(bev.Callbacks{
		Read: func(c *bev.Conn) {
			e.said = append(e.said, fmt.Sprintf("read %d", c.Input().Len()))
			if n := c.Input().Len(); e.drain == everything || e.drain > n {
				c.Input().Drain(n)
			} else {
				c.Input().Drain(e.drain)
			}
		},
		Write: func(*bev.Conn) { e.said = append(e.said, "write") },
		Event: func(_ *bev.Conn, what bev.Event, err error) {
			line := "event " + what.String()
			if w := word(err); w != "" {
				line += ": " + w
			}
			e.said = append(e.said, line)
		},
	})
	return e
}

// want says what has been heard since the last want.
func (e *ear) want(why string, lines ...string) {
	e.t.Helper()
	if !slices.Equal(e.said, lines) {
		e.t.Fatalf("%s: heard %q, want %q", why, e.said, lines)
	}
	e.said = nil
}

// pairOf is bev.Pair for tests that need no options.
func (b *lab) pairOf() (p, q *bev.Conn) {
	b.t.Helper()
	p, q, err := bev.Pair(b.l, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return p, q
}

// over is a filter that changes nothing.
func (b *lab) over(under *bev.Conn) *bev.Conn {
	b.t.Helper()
	f, err := bev.NewFilter(under, nil, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}

// 19
func TestEnableOwesAWriteCallbackOnEveryKindOfConn(t *testing.T) {
	b := newLab(t, nil)
	_, socket := b.wire(nil)
	pair, _ := b.pairOf()
	_, under := b.wire(nil)
	for name, c := range map[string]*bev.Conn{"socket": socket, "pair": pair, "filter": b.over(under)} {
		b.pass(0)
		e := b.ear(t, c, everything)
		c.Enable(bev.Writing)
		b.pass(0)
		e.want(name, "write")
	}
}

// 20
func TestEndOfTheConnBelowDisablesTheFilter(t *testing.T) {
	b := newLab(t, nil)
	far, under := b.wire(nil)
	f := b.over(under)
	e := b.ear(t, f, everything)
	f.SetTimeouts(time.Second, 0)
	f.Enable(bev.Reading)
	far.CloseWrite()
	b.pass(0)
	e.want("the end below", "event reading|eof")
	if f.Enabled() != bev.Writing {
		t.Errorf("enabled is %v after the end of file, want writing", f.Enabled())
	}
	b.pass(time.Minute)
	e.want("no read timeout after the end")

	_, under = b.wire(nil)
	f = b.over(under)
	e = b.ear(t, f, everything)
	f.Enable(bev.Reading)
	under.SetTimeouts(time.Second, 0)
	b.pass(time.Second + resolution)
	e.want("a timeout below", "event reading|timeout")
	if f.Enabled() != bev.Writing {
		t.Errorf("enabled is %v after a read timeout below, want writing", f.Enabled())
	}
}

// 21
func TestAFilterThatIsEnabledAgainGoesOn_Libevent613(t *testing.T) {
	b := newLab(t, nil)
	far, under := b.wire(nil)
	heard := b.ear(t, far, everything)
	far.Enable(bev.Reading)
	f := b.over(under)
	e := b.ear(t, f, 0)
	f.Disable(bev.Writing)
	f.WriteString("ten bytes.")
	b.pass(0)
	heard.want("writing is disabled")
	f.Enable(bev.Writing)
	b.pass(0)
	heard.want("writing is enabled again", "read 10")
	e.want("all is handed down", "write")

	far.WriteString("for you")
	b.pass(0)
	e.want("reading is disabled")
	f.Enable(bev.Reading)
	b.pass(0)
	e.want("reading is enabled", "read 7")
}

// 22
func TestBytesBelowAFilterFollowWhenItsMarkIsDrained_Libevent362(t *testing.T) {
	b := newLab(t, nil)
	far, under := b.wire(nil)
	f := b.over(under)
	e := b.ear(t, f, everything)
	if err := f.SetWatermark(bev.Reading, bev.Watermark{High: 10}); err != nil {
		t.Fatal(err)
	}
	f.Enable(bev.Reading)
	far.Write(make([]byte, 25))
	b.pass(0)
	e.want("25 bytes and a mark of 10", "read 10", "read 10", "read 5")
}

// 23
func TestAFailureIsToldOnceAndEndsWriting(t *testing.T) {
	b := newLab(t, nil)
	far, c := b.wire(nil)
	e := b.ear(t, c, everything)
	far.Close()
	c.WriteString("hello")
	b.pass(0)
	e.want("a write into nothing", "event writing|error: broken pipe")
	if n, err := c.WriteString("again"); n != 0 || !isClosed(err) || c.Output().Len() != 0 {
		t.Errorf("a write after the failure: %d, %v, %d bytes in Output", n, err, c.Output().Len())
	}
	c.Enable(bev.Writing)
	b.pass(time.Minute)
	e.want("enabling tells it no more")

	far, c = b.wire(nil)
	e = b.ear(t, c, everything)
	c.WriteString("unread, so that closing is a reset")
	c.Enable(bev.Reading)
	b.pass(0)
	e.want("sent", "write")
	far.Close()
	b.pass(0)
	e.want("a reset", "event reading|error: reset")
	if c.Enabled() != 0 {
		t.Errorf("enabled is %v after a reset", c.Enabled())
	}
	if _, err := c.WriteString("x"); !isClosed(err) {
		t.Errorf("a write after the reset: %v", err)
	}
	b.pass(time.Minute)
	e.want("the write fails, too, and that is no news")
}

// 24
func TestReadingIsToldBeforeWriting(t *testing.T) {
	b := newLab(t, nil)
	fds := rawPair(t)
	c, err := bev.NewConn(b.l, fds[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	e := b.ear(t, c, everything)
	c.Disable(bev.Writing)
	c.WriteString("hello")
	if _, err := syscall.Write(fds[1], []byte("hi!")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Close(fds[1]); err != nil {
		t.Fatal(err)
	}
	c.Enable(bev.Both)
	b.pass(0)
	e.want("bytes, then the end and the broken pipe as one", "read 3", "event reading|writing|eof|error: broken pipe")
}

// 25
func TestTheEndIsToldOnce(t *testing.T) {
	b := newLab(t, nil)
	far, c := b.wire(nil)
	e := b.ear(t, c, everything)
	c.Enable(bev.Reading)
	far.CloseWrite()
	b.pass(0)
	e.want("the end", "event reading|eof")
	c.Enable(bev.Reading)
	b.pass(time.Minute)
	e.want("enabling reading does not read the end again")
}

// 26
func TestTriggerRunsNothingInsideTheCall(t *testing.T) {
	b := newLab(t, nil)
	_, c := b.wire(nil)
	e := b.ear(t, c, everything)
	c.Trigger(bev.Writing, 0)
	c.TriggerEvent(bev.EventEOF, nil)
	e.want("inside the calls")
	b.pass(0)
	e.want("from the queue", "write", "event eof")
	c.TriggerEvent(0, nil)
	b.pass(0)
	e.want("an event without bits")
}

// 28
func TestDrainingDoesNotStartTheReadTimeoutAnew(t *testing.T) {
	for name, touch := range map[string]func(c *bev.Conn){
		"drain": func(c *bev.Conn) { c.Input().Drain(1) },
		"marks": func(c *bev.Conn) { c.SetWatermark(bev.Reading, bev.Watermark{High: 20}) },
		"flush": func(c *bev.Conn) { c.Flush(bev.Reading, bev.FlushNormal) },
	} {
		b := newLab(t, nil)
		far, c := b.wire(nil)
		e := b.ear(t, c, 0)
		if err := c.SetWatermark(bev.Reading, bev.Watermark{High: 10}); err != nil {
			t.Fatal(err)
		}
		c.Enable(bev.Reading)
		far.WriteString("five!")
		b.pass(0)
		e.want(name, "read 5")
		c.SetTimeouts(time.Second, 0)
		b.pass(time.Second - time.Millisecond)
		touch(c)
		e.want(name + ": not yet")
		b.pass(time.Millisecond + resolution)
		e.want(name+": the second is over", "event reading|timeout")
	}
	b := newLab(t, nil)
	far, under := b.wire(nil)
	f := b.over(under)
	e := b.ear(t, f, 0)
	f.SetTimeouts(time.Second, 0)
	if err := f.SetWatermark(bev.Reading, bev.Watermark{High: 4}); err != nil {
		t.Fatal(err)
	}
	f.Enable(bev.Reading)
	far.WriteString("ten bytes.")
	b.pass(0)
	e.want("a filter at its mark", "read 4")
	b.pass(time.Minute)
	e.want("a filter that stands at its mark has no read timeout")
}

// 30
func TestAConnectThatFailsDisablesBothDirections(t *testing.T) {
	b := newLab(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	c, err := bev.Dial(t.Context(), b.l, "tcp", nobody, bev.Callbacks{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := b.ear(t, c, everything)
	c.Enable(bev.Reading)
	for range 1000 { // the refusal comes from the kernel, in its own time
		if b.pass(time.Millisecond); e.said != nil {
			break
		}
	}
	e.want("nobody listens", "event error: refused")
	if c.Enabled() != 0 {
		t.Errorf("enabled is %v after a refused connect", c.Enabled())
	}
}

// 31
func TestNoReadTimeoutWithoutADescriptor(t *testing.T) {
	b := newLab(t, nil)
	c, err := bev.NewConn(b.l, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := b.ear(t, c, everything)
	c.SetTimeouts(time.Second, 0)
	c.Enable(bev.Reading)
	b.pass(time.Minute)
	e.want("there is nothing to read from")
	fds := rawPair(t)
	defer syscall.Close(fds[1])
	if err := c.SetFD(fds[0]); err != nil {
		t.Fatal(err)
	}
	b.pass(0)
	e.want("there is now", "write")
	b.pass(time.Second + resolution)
	e.want("so the clock runs", "event reading|timeout")
}

func TestNoReadTimeoutWhileConnecting(t *testing.T) {
	f := inject(t)
	hungConnect(f)
	b := newLab(t, nil)
	c, err := bev.Dial(t.Context(), b.l, "tcp", "192.0.2.1:1", bev.Callbacks{}, &bev.DialOptions{Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	e := b.ear(t, c, everything)
	c.SetTimeouts(time.Second, time.Second)
	c.Enable(bev.Reading)
	b.pass(time.Minute)
	e.want("the connection is being made")
	b.pass(time.Hour)
	e.want("the Dial has a timeout of its own", "event error|timeout")
}

// 33
func TestATimeoutTakenAwayWhileDisabledIsGone(t *testing.T) {
	b := newLab(t, nil)
	far, c := b.wire(nil)
	e := b.ear(t, c, everything)
	c.SetTimeouts(time.Second, 0)
	c.Enable(bev.Reading)
	c.Disable(bev.Reading)
	c.SetTimeouts(0, 0)
	c.Enable(bev.Reading)
	b.pass(time.Minute)
	far.WriteString("x")
	b.pass(time.Minute)
	e.want("no timeout is set", "read 1")
}

// holdBack is a filter that lets bytes through only when it is flushed.
type holdBack struct{}

func (holdBack) In(s *bev.FilterStreams, mode bev.FlushMode) error {
	if mode != bev.FlushNormal {
		s.ToUser.MoveAll(s.FromBelow)
	}
	return nil
}

func (holdBack) Out(s *bev.FilterStreams, _ bev.FlushMode) error {
	s.ToBelow.MoveAll(s.FromUser)
	return nil
}

// 32
func TestWhatAFlushBringsOutOfAFilterIsAnnounced(t *testing.T) {
	b := newLab(t, nil)
	far, under := b.wire(nil)
	f, err := bev.NewFilter(under, holdBack{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := b.ear(t, f, everything)
	f.Enable(bev.Reading)
	far.WriteString("held back")
	b.pass(0)
	e.want("it is held back")
	f.Flush(bev.Reading, bev.FlushAll)
	e.want("never from inside the call")
	b.pass(0)
	e.want("it is flushed", "read 9")
}
