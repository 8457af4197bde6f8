// Twin is an echo server: what came, in brackets, at least four bytes and at
// most sixteen at a time. Who says nothing for too long is told so and left,
// who does not read is read no further. docs/libevent.md has it beside the same
// program in C, on libevent.
//
//	go run ./examples/twin 5555 60000    # port, milliseconds
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/bevgo/bev"
)

var silence = time.Minute

func read(c *bev.Conn) {
	c.WriteString("[")
	c.WriteBuffer(c.Input()) // moves what is there, and empties it
	c.WriteString("]\n")
	// Nothing to do about the peer that does not read: at 256 KiB of Output
	// this Conn is read no further until a quarter of that is left.
}

func event(c *bev.Conn, what bev.Event, err error) {
	switch what {
	case bev.EventReading | bev.EventEOF:
		if c.Input().Len() > 0 { // less than the low mark may be left
			read(c)
		}
		c.CloseAfterFlush(0)
	case bev.EventReading | bev.EventTimeout:
		c.WriteString("too slow\n")
		c.CloseAfterFlush(0)
	default:
		log.Println(c.RemoteAddr(), what, err)
		c.Close()
	}
}

func accept(c *bev.Conn) {
	c.SetCallbacks(bev.Callbacks{Read: read, Event: event})
	if err := c.SetWatermark(bev.Reading, bev.Watermark{Low: 4, High: 16}); err != nil {
		log.Fatal(err)
	}
	c.SetTimeouts(silence, silence)
	c.Enable(bev.Reading)
}

func main() {
	port := "5555"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	if len(os.Args) > 2 {
		ms, err := strconv.Atoi(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		silence = time.Duration(ms) * time.Millisecond
	}
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	ln, err := bev.Listen(loop, "tcp", "127.0.0.1:"+port, accept, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", ln.Addr())
	log.Fatal(loop.Run(context.Background()))
}
