package main

import (
	"context"
	"net"

	"golang.org/x/time/rate"
)

// serveNet is a goroutine for each connection, with a buffer of the size that
// suits the load.
func serveNet(s *settings) error {
	ln, err := net.Listen(s.network, s.address)
	if err != nil {
		return err
	}
	group := limiter(s.group)
	s.ready()
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			own := limiter(s.limit)
			p := make([]byte, s.buffer)
			for {
				n, err := c.Read(p)
				if err != nil {
					return
				}
				if !wait(own, n) || !wait(group, n) {
					return
				}
				if _, err := c.Write(p[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// limiter lets so many bytes through a second; nil for 0, which is any number.
func limiter(n int) *rate.Limiter {
	if n == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(n), n)
}

func wait(l *rate.Limiter, n int) bool { return l == nil || l.WaitN(context.Background(), n) == nil }
