// Echo-server answers what it is sent, ten bytes at a time. It shows a
// listener, the three callbacks of a connection, and watermarks.
//
//	go run ./examples/echo-server
//	nc localhost 5555
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/bevgo/bev"
)

func main() {
	addr := ":5555"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	if err := serve(addr); err != nil {
		log.Fatal(err)
	}
}

func serve(addr string) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	ln, err := bev.Listen(loop, "tcp", addr, accept, nil)
	if err != nil {
		return err
	}
	fmt.Println("listening on", ln.Addr())
	loop.Notify(func(os.Signal) { loop.Stop() }, os.Interrupt)
	return loop.Run(context.Background()) // nil after Stop
}

// accept is called for each connection before any of its bytes are read.
func accept(c *bev.Conn) {
	log.Println(c.RemoteAddr(), "is here")
	c.SetCallbacks(bev.Callbacks{Read: read, Write: written, Event: event})

	// Low 0: call as soon as there is anything. High 10: take no more than
	// ten bytes before they have been dealt with. The rest of a long message
	// waits in the kernel, and then at the sender.
	if err := c.SetWatermark(bev.Reading, bev.Watermark{Low: 0, High: 10}); err != nil {
		log.Println(err)
	}
	c.Enable(bev.Reading) // writing is enabled from the start
}

// read is called with at most ten bytes in Input. What it leaves there it
// would find again, before the bytes that come next.
func read(c *bev.Conn) {
	piece := c.Input().ToBytes()
	c.Input().Drain(len(piece))
	log.Printf("%v says %q", c.RemoteAddr(), piece)

	// A Conn is an io.Writer. What is written here goes out in one piece when
	// this function has returned.
	if _, err := fmt.Fprintf(c, "Message received: %q\n", piece); err != nil {
		log.Println(c.RemoteAddr(), err)
		c.Close()
	}
}

// written is called when Output is empty: all replies are on their way.
func written(c *bev.Conn) {
	log.Println(c.RemoteAddr(), "has its reply")
}

// event is called when something has ended or failed.
func event(c *bev.Conn, what bev.Event, err error) {
	if !errors.Is(err, io.EOF) {
		log.Println(c.RemoteAddr(), what, err)
		c.Close()
		return
	}
	log.Println(c.RemoteAddr(), "has said all")
	c.CloseAfterFlush(0) // not Close: replies may still be waiting
}
