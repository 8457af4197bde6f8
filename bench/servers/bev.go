package main

import (
	"context"
	"time"

	"github.com/bevgo/bev"
)

func serveBev(s *settings) error { return runBev(s, nil) }

// serveBevOwnCore is bev told that each loop has a core to itself.
func serveBevOwnCore(s *settings) error { return runBev(s, &bev.LoopOptions{OwnCore: true}) }

// runBev runs one Loop, or a LoopGroup, which spreads the callers as it does by
// default.
func runBev(s *settings, o *bev.LoopOptions) error {
	g, err := bev.NewLoopGroup(s.loops, o)
	if err != nil {
		return err
	}
	accept, err := bevAccept(s, g.Loops()[0])
	if err != nil {
		return err
	}
	lo := &bev.ListenOptions{}
	if s.armed {
		marks := bev.Watermark{High: 1 << 20}
		lo.Conn = &bev.ConnOptions{ReadTimeout: time.Hour, WriteTimeout: time.Hour, ReadWatermark: marks, WriteWatermark: marks}
	}
	if _, err := bev.Listen(g, s.network, s.address, accept, lo); err != nil {
		return err
	}
	s.ready()
	return g.Run(context.Background())
}

// bevAccept makes a caller's connection an echo. A rate limit of all together is
// for one Loop.
func bevAccept(s *settings, loop *bev.Loop) (func(*bev.Conn), error) {
	echo := bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }}
	var group *bev.RateGroup
	if s.group > 0 {
		var err error
		if group, err = bev.NewRateGroup(loop, bev.RateLimit{Read: s.group}); err != nil {
			return nil, err
		}
	}
	return func(c *bev.Conn) {
		c.SetCallbacks(echo)
		if s.limit > 0 {
			c.SetRateLimit(&bev.RateLimit{Read: s.limit})
		}
		if group != nil {
			group.Add(c)
		}
		c.Enable(bev.Reading)
	}, nil
}
