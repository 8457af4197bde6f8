package main

import (
	"context"
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/bevgo/bev"
)

// benchRate connects, sends one message, waits for it, closes, and starts
// again, so many at a time. An operation is all of that.
type benchRate struct {
	benchTarget
	Parallel int           `default:"64" help:"How many at a time."`
	Size     int           `default:"64" help:"Bytes of the message."`
	Duration time.Duration `default:"5s" help:"How long to measure."`
}

// Validate is called by kong.
func (b *benchRate) Validate() error {
	if b.Parallel < 1 || b.Size < 1 || b.Duration <= 0 {
		return errors.New("--parallel, --size and --duration must be above 0")
	}
	return nil
}

// rateLoad is the load under way.
type rateLoad struct {
	b       *benchRate
	loop    *bev.Loop
	message []byte // the same for all: each connection is new
	pattern *pattern
	ops     int64
	times   *hdrhistogram.Histogram
	failed  error
}

// Run is called by kong.
func (b *benchRate) Run(std stdio) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	l := &rateLoad{b: b, loop: loop, pattern: newPattern(b.Size), times: latencies()}
	l.message = l.pattern.next(new(cursor), b.Size)
	for range b.Parallel {
		l.again()
	}
	w, err := b.openWindow()
	if err != nil {
		return err
	}
	loop.AfterFunc(b.Duration, loop.Stop)
	if err := loop.Run(context.Background()); err != nil {
		return err
	}
	r := &benchResult{Conns: b.Parallel}
	if err = errors.Join(l.failed, w.close(r, l.ops)); err != nil {
		return err
	}
	r.fromHistogram(l.times)
	return r.print(std.out, b.JSON)
}

// again makes the next connection. The client closes first, so that the ports
// in TIME_WAIT are its own; it aborts, so that there are none.
func (l *rateLoad) again() {
	start := time.Now()
	fail := func(err error) {
		if l.failed == nil {
			l.failed = err
		}
		l.loop.Stop()
	}
	read := func(c *bev.Conn) {
		if c.Input().Len() < len(l.message) {
			return
		}
		if err := l.pattern.check(new(cursor), c.Input()); err != nil {
			fail(err)
			return
		}
		_ = l.times.RecordValue(time.Since(start).Nanoseconds())
		l.ops++
		c.Abort()
		l.again()
	}
	event := func(c *bev.Conn, what bev.Event, err error) {
		if what != bev.EventConnected {
			fail(err)
			return
		}
		c.Enable(bev.Reading)
		c.Write(l.message)
	}
	if _, err := bev.Dial(context.Background(), l.loop, l.b.Network, l.b.Addr, bev.Callbacks{Read: read, Event: event}, nil); err != nil {
		fail(err)
	}
}
