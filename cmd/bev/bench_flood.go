package main

import (
	"context"
	"errors"
	"time"

	"github.com/bevgo/bev"
)

// benchFlood is a peer that sends and never reads. A server that is bounded
// stops taking soon; one that is not takes all that is offered, and its memory
// grows by as much.
type benchFlood struct {
	benchTarget
	Offer int64         `default:"2000000000" help:"Bytes to offer at most."`
	Quiet time.Duration `default:"1s" help:"The server has stopped taking when nothing went for so long."`
}

// Validate is called by kong.
func (b *benchFlood) Validate() error {
	if b.Offer < 1 || b.Quiet <= 0 {
		return errors.New("--offer and --quiet must be above 0")
	}
	return nil
}

// Run is called by kong.
func (b *benchFlood) Run(std stdio) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	before, err := memory(b.PID)
	if err != nil {
		return err
	}
	var failed error
	end := func(_ *bev.Conn, what bev.Event, err error) {
		switch {
		case what == bev.EventConnected:
			return
		case what&bev.EventTimeout != 0: // it has stopped taking
		default:
			failed = err
		}
		loop.Stop()
	}
	chunk := make([]byte, 256<<10)
	write := func(c *bev.Conn) {
		if int64(c.Stats().BytesWritten) >= b.Offer {
			loop.Stop()
			return
		}
		c.Write(chunk)
	}
	o := &bev.DialOptions{Conn: &bev.ConnOptions{WriteTimeout: b.Quiet}}
	c, err := bev.Dial(context.Background(), loop, b.Network, b.Addr, bev.Callbacks{Write: write, Event: end}, o)
	if err != nil {
		return err
	}
	c.Write(chunk)
	start := time.Now()
	if err := loop.Run(context.Background()); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	r := &benchResult{Seconds: time.Since(start).Seconds(), Sent: int64(c.Stats().BytesWritten)}
	if err := b.look(r, before); err != nil {
		return err
	}
	return r.print(std.out, b.JSON)
}

// look measures the server in the quiet that follows, while the peer is still
// there and still does not read.
func (b *benchFlood) look(r *benchResult, before int64) error {
	cpu, err := cpuTime(b.PID)
	if err != nil {
		return err
	}
	time.Sleep(b.Quiet)
	after, err := cpuTime(b.PID)
	if err != nil {
		return err
	}
	now, err := memory(b.PID)
	r.CPUPercent = 100 * float64(after-cpu) / float64(b.Quiet)
	r.GrowthMiB = float64(now-before) / (1 << 20)
	return err
}
