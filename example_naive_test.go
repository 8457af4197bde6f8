package bev_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// The server in the README (see Example) forgets nobody: Conns whose peers have ended, left or
// vanished are closed, without a word of the program's about it.
func TestNaiveEchoClosesItsConns(t *testing.T) {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	addr := echoListener(loop)
	peers := make(chan error, 1)
	go func() { peers <- visit(addr) }()
	left := false
	loop.Every(time.Millisecond, func() {
		select {
		case err := <-peers:
			if err != nil {
				t.Error(err)
			}
			left = true
		default:
		}
		if left && loop.Stats().Conns == 0 {
			loop.Stop()
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := loop.Run(ctx); err != nil {
		t.Fatalf("%d of %d Conns are still open after all peers have left: %v", loop.Stats().Conns, loop.Stats().Opened, err)
	}
	if n := loop.Stats().Opened; n != 30 {
		t.Errorf("%d Conns were opened, want 30", n)
	}
}

// visit connects thirty times, and leaves in three ways.
func visit(addr string) error {
	for i := range 30 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		c := nc.(*net.TCPConn)
		if _, err := io.WriteString(c, "hello"); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			return err
		}
		switch i % 3 {
		case 0: // in good order: the server has to end its side, too
			if err := c.CloseWrite(); err != nil {
				return err
			}
			if _, err := io.ReadAll(c); err != nil {
				return err
			}
		case 1: // with a reset
			if err := c.SetLinger(0); err != nil {
				return err
			}
		}
		c.Close()
	}
	return nil
}
