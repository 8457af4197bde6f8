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

func runBev(network, address string, loops int, ready func(), o *bev.LoopOptions) error {
	g, err := bev.NewLoopGroup(loops, o)
	if err != nil {
		return err
	}
	echo := bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }}
	_, err = bev.Listen(g.Loops()[0], network, address, func(c *bev.Conn) {
		c.SetCallbacks(echo)
		c.Enable(bev.Reading)
	}, nil)
	if err != nil {
		return err
	}
	ready()
	return g.Run(context.Background())
}
