package main

import (
	"context"
	"errors"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

// benchSlow is a peer that reads, but slowly, and always has more to send. A
// server that is bounded takes as much as the peer reads; one that is not
// takes all it is sent, and holds the difference. Every byte is compared.
type benchSlow struct {
	benchTarget
	Rate     int           `default:"1000000" help:"Bytes a second to read."`
	Offer    int64         `default:"2000000000" help:"Bytes to offer at most."`
	Duration time.Duration `default:"5s" help:"How long to measure."`
}

// Validate is called by kong.
func (b *benchSlow) Validate() error {
	if b.Rate < 1 || b.Offer < 1 || b.Duration <= 0 {
		return errors.New("--rate, --offer and --duration must be above 0")
	}
	return nil
}

// Run is called by kong.
func (b *benchSlow) Run(std stdio) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	before, err := memory(b.PID)
	if err != nil {
		return err
	}
	c, failed, err := b.dial(loop)
	if err != nil {
		return err
	}
	w, err := b.openWindow()
	if err != nil {
		return err
	}
	loop.AfterFunc(b.Duration, loop.Stop)
	if err := loop.Run(context.Background()); err != nil {
		return err
	}
	r := &benchResult{}
	if err := errors.Join(*failed, w.close(r, 0)); err != nil {
		return err
	}
	s := c.Stats()
	r.Sent, r.Received = int64(s.BytesWritten), int64(s.BytesRead)
	r.CPUPercent = 100 * w.cpu.Seconds() / r.Seconds
	r.GrowthMiB = r.MemoryMiB - float64(before)/(1<<20)
	return r.print(std.out, b.JSON)
}

// dial makes the peer. What goes wrong is put into failed.
func (b *benchSlow) dial(loop *bev.Loop) (c *bev.Conn, failed *error, err error) {
	const piece = 256 << 10
	p := newPattern(piece)
	failed = new(error)
	fail := func(err error) {
		if *failed == nil {
			*failed = err
		}
		loop.Stop()
	}
	var sent, received cursor
	var next buffer.Buffer
	write := func(c *bev.Conn) {
		if int64(c.Stats().BytesWritten) >= b.Offer {
			return // it has taken all, and still sends it back
		}
		next.AppendOwned(p.next(&sent, piece), nil)
		if err := c.WriteBuffer(&next); err != nil {
			fail(err)
		}
	}
	read := func(c *bev.Conn) {
		if err := p.check(&received, c.Input()); err != nil {
			fail(err)
		}
	}
	event := func(c *bev.Conn, what bev.Event, err error) {
		if what != bev.EventConnected {
			fail(err)
			return
		}
		if err := c.SetRateLimit(&bev.RateLimit{Read: b.Rate}); err != nil {
			fail(err)
		}
		c.Enable(bev.Reading)
		write(c)
	}
	c, err = bev.Dial(context.Background(), loop, b.Network, b.Addr, bev.Callbacks{Read: read, Write: write, Event: event}, nil)
	return c, failed, err
}
