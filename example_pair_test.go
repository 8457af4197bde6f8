package bev_test

import (
	"context"
	"fmt"
	"log"

	"github.com/bevgo/bev"
)

// A pair is a connection without a network: what is written for sockets can be
// tried on it.
func ExamplePair() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()
	client, server, err := bev.Pair(loop, nil)
	if err != nil {
		log.Fatal(err)
	}
	server.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
		c.WriteString("you said: ")
		c.WriteBuffer(c.Input())
		c.CloseAfterFlush(0)
	}})
	server.Enable(bev.Reading)
	client.SetCallbacks(bev.Callbacks{
		Event: func(c *bev.Conn, what bev.Event, err error) {
			fmt.Println(c.Input(), what)
			loop.Stop()
		},
	})
	client.Enable(bev.Reading)
	client.WriteString("hello")
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: you said: hello reading|eof
}
