package main

import (
	"context"
	"io"
	"net"

	"github.com/bevgo/bev"
)

func proxyBev(s *settings) error { return runProxyBev(s, nil) }

// proxyBevOwnCore is bev told that the loop has a core to itself.
func proxyBevOwnCore(s *settings) error { return runProxyBev(s, &bev.LoopOptions{OwnCore: true}) }

func runProxyBev(s *settings, o *bev.LoopOptions) error {
	loop, err := bev.NewLoop(o)
	if err != nil {
		return err
	}
	accept := func(c *bev.Conn) {
		to, err := bev.Dial(context.Background(), loop, s.network, s.to, bev.Callbacks{}, nil)
		if err == nil {
			_, err = bev.Relay(c, to, nil)
		}
		if err != nil {
			c.Abort()
		}
	}
	if _, err := bev.Listen(loop, s.network, s.address, accept, nil); err != nil {
		return err
	}
	s.ready()
	return loop.Run(context.Background())
}

// proxyCopy is the proxy that everybody writes in Go: two goroutines a
// connection, and io.Copy, which uses splice(2) between TCP connections.
func proxyCopy(s *settings) error {
	ln, err := net.Listen(s.network, s.address)
	if err != nil {
		return err
	}
	s.ready()
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			to, err := net.Dial(s.network, s.to)
			if err != nil {
				return
			}
			defer to.Close()
			back := make(chan struct{})
			go func() {
				copyStream(c, to)
				close(back)
			}()
			copyStream(to, c)
			<-back
		}()
	}
}

// copyStream hands on one direction, its end included.
func copyStream(to, from net.Conn) {
	_, _ = io.Copy(to, from) // what failed here, the other direction meets too
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
