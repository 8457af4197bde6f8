package bev_test

import (
	"context"
	"log"

	"github.com/bevgo/bev"
)

// This is the server in the README, word for word, which a test compares.
func main() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	echo := bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }}
	if _, err = bev.Listen(loop, "tcp", ":5555", func(c *bev.Conn) {
		c.SetCallbacks(echo)
		c.Enable(bev.Reading)
	}, nil); err != nil {
		log.Fatal(err)
	}
	log.Fatal(loop.Run(context.Background()))
}

// A complete echo server. The Conns need no Event callback in order to be
// closed: without one, a peer's end means CloseAfterFlush, which sends what is
// left and closes, and an error means Close. Memory is bounded although nobody
// looks at the result of WriteBuffer: reading pauses while a peer leaves its
// replies unread, so that Output stays far below the limit at which a write
// would fail.
func Example() {
	main()
}
