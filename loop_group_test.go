package bev_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/bevgo/bev"
)

// group makes a LoopGroup whose Loops all listen on one port and echo.
func group(t *testing.T, n int) (g *bev.LoopGroup, addr string) {
	t.Helper()
	g, err := bev.NewLoopGroup(n, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	addr = "127.0.0.1:0"
	for _, l := range g.Loops() {
		ln, err := bev.Listen(l, "tcp", addr, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
			c.Enable(bev.Reading)
		}, &bev.ListenOptions{ReusePort: true})
		if err != nil {
			t.Fatal(err)
		}
		addr = ln.Addr().String()
	}
	return g, addr
}

func TestLoopGroupServesOnePortWithAllLoops(t *testing.T) {
	g, addr := group(t, 3)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(context.Background()) }()
	for range 30 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
	if s := g.Stats(); s.Opened != 30 || s.BytesRead != 150 || s.BytesWritten != 150 {
		t.Errorf("the sum of the loops is %+v, want 30 connections with 5 bytes each way", s)
	}
	g.Stop()
	if err := <-ended; err != nil {
		t.Errorf("Run after Stop: %v, want nil", err)
	}
}

func TestLoopGroupEndsWithItsContext(t *testing.T) {
	g, _ := group(t, 2)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if err := g.Run(ctx); err != why {
		t.Errorf("Run: %v, want the context's cause", err)
	}
}

func TestLoopGroupStopsWhenOneLoopFails(t *testing.T) {
	g, _ := group(t, 2)
	l := g.Next()
	if err := l.Post(func() { l.Close() }); err != nil {
		t.Fatal(err)
	}
	if err := g.Run(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run with a loop that closed: %v, want net.ErrClosed", err)
	}
}

func TestLoopGroupTakesTurns(t *testing.T) {
	g, err := bev.NewLoopGroup(0, nil) // one a core
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	loops := g.Loops()
	for i := range 2 * len(loops) {
		if g.Next() != loops[i%len(loops)] {
			t.Fatalf("turn %d is not loop %d's", i, i%len(loops))
		}
	}
}
