package main

import (
	"context"

	"github.com/bevgo/bev"
)

func serveBev(network, address string, loops int, ready func()) error {
	return runBev(network, address, loops, ready, nil)
}

// serveBevOwnCore is bev told that each loop has a core to itself.
func serveBevOwnCore(network, address string, loops int, ready func()) error {
	return runBev(network, address, loops, ready, &bev.LoopOptions{OwnCore: true})
}

// runBev runs several loops as the C server does: each listens on the port,
// and the kernel spreads the callers.
func runBev(network, address string, loops int, ready func(), o *bev.LoopOptions) error {
	echo := bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }}
	accept := func(c *bev.Conn) {
		c.SetCallbacks(echo)
		c.Enable(bev.Reading)
	}
	ended := make(chan error)
	for range loops {
		loop, err := bev.NewLoop(o)
		if err != nil {
			return err
		}
		if _, err := bev.Listen(loop, network, address, accept, &bev.ListenOptions{ReusePort: loops > 1}); err != nil {
			return err
		}
		go func() { ended <- loop.Run(context.Background()) }()
	}
	ready()
	return <-ended
}
