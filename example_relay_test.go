package bev_test

import (
	"context"
	"log"

	"github.com/bevgo/bev"
)

// A proxy: each caller is connected to another server. The relay waits for the
// connection by itself, and resets the caller when there is none.
func ExampleRelay() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = bev.Listen(loop, "tcp", ":8080", func(c *bev.Conn) {
		to, err := bev.Dial(context.Background(), loop, "tcp", "localhost:80", bev.Callbacks{}, nil)
		if err != nil {
			log.Print(err)
			c.Abort()
			return
		}
		_, err = bev.Relay(c, to, &bev.RelayOptions{Done: func(r bev.RelayResult) {
			log.Printf("%d bytes to the server, %d back: %v", r.AToB, r.BToA, r.Err)
		}})
		if err != nil {
			log.Print(err) // both are open and of this loop: it cannot be
		}
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(loop.Run(context.Background()))
}
