package bev_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/bevgo/bev"
)

func TestSmoke(t *testing.T) {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := bev.Listen(loop, "tcp", "127.0.0.1:0", func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
		c.Enable(bev.Reading)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- loop.Run(context.Background()) }()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 1000; i++ {
		nc.Write([]byte("hello"))
		b := make([]byte, 5)
		if _, err := io.ReadFull(nc, b); err != nil {
			t.Fatal(err)
		}
	}
	nc.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(nc)
	t.Log(len(b), err)
	nc.Close()
	loop.Post(func() { t.Logf("%+v", loop.Stats()) })
	loop.Post(func() { loop.Close() })
	t.Log(<-done)
}
