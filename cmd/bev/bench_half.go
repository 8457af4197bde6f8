package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bevgo/bev"
)

// benchHalf sends much, ends its sending, and begins to read only then. The
// server has seen the end of file before most of its answer is sent: a server
// that takes this for the end of everything loses the rest.
type benchHalf struct {
	benchTarget
	Size int           `default:"8000000" help:"Bytes to send."`
	Wait time.Duration `default:"500ms" help:"How long to wait before reading."`
	Max  time.Duration `default:"20s" help:"When to give up."`
}

// Validate is called by kong.
func (b *benchHalf) Validate() error {
	if b.Size < 1 {
		return errors.New("--size must be above 0")
	}
	return nil
}

// Run is called by kong.
func (b *benchHalf) Run(std stdio) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	var ended error
	p := newPattern(b.Size)
	var sent, received cursor
	cb := bev.Callbacks{
		Read: func(c *bev.Conn) {
			if err := p.check(&received, c.Input()); err != nil {
				ended = err
				loop.Stop()
			}
		},
		Event: func(_ *bev.Conn, what bev.Event, err error) {
			if what != bev.EventConnected && ended == nil { // the end may come behind other bytes
				ended = err
				loop.Stop()
			}
		},
	}
	o := &bev.DialOptions{Conn: &bev.ConnOptions{OutputLimit: -1}}
	c, err := bev.Dial(context.Background(), loop, b.Network, b.Addr, cb, o)
	if err != nil {
		return err
	}
	c.Write(p.next(&sent, b.Size))
	c.CloseWrite()
	loop.AfterFunc(b.Wait, func() { c.Enable(bev.Reading) })
	loop.AfterFunc(b.Max, loop.Stop)
	start := time.Now()
	if err := loop.Run(context.Background()); err != nil {
		return err
	}
	if errors.Is(ended, errOtherBytes) {
		return ended
	}
	s := c.Stats()
	if s.BytesWritten == 0 && ended != nil {
		return ended // it never began
	}
	r := &benchResult{Seconds: time.Since(start).Seconds(), Sent: int64(s.BytesWritten), Received: int64(s.BytesRead)}
	if err := r.print(std.out, b.JSON); err != nil {
		return err
	}
	if r.Received < int64(b.Size) {
		return fmt.Errorf("%d of %d bytes came back, then: %w", r.Received, b.Size, ended)
	}
	return nil
}
