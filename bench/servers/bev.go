package main

import (
	"context"
	"time"

	"github.com/bevgo/bev"
)

func serveBev(s *settings) error { return runBev(s, nil) }

// serveBevOwnCore is bev told that each loop has a core to itself.
func serveBevOwnCore(s *settings) error { return runBev(s, &bev.LoopOptions{OwnCore: true}) }

// runBev runs several loops as the C servers do: each listens on the port, and
// the kernel spreads the callers.
func runBev(s *settings, o *bev.LoopOptions) error {
	ended := make(chan error)
	for range s.loops {
		loop, err := bev.NewLoop(o)
		if err != nil {
			return err
		}
		accept, err := bevAccept(s, loop)
		if err != nil {
			return err
		}
		o := &bev.ListenOptions{ReusePort: s.loops > 1}
		if s.armed {
			marks := bev.Watermark{High: 1 << 20}
			o.Conn = &bev.ConnOptions{ReadTimeout: time.Hour, WriteTimeout: time.Hour, ReadWatermark: marks, WriteWatermark: marks}
		}
		if _, err := bev.Listen(loop, s.network, s.address, accept, o); err != nil {
			return err
		}
		go func() { ended <- loop.Run(context.Background()) }()
	}
	s.ready()
	return <-ended
}

// bevAccept makes a caller's connection an echo.
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
