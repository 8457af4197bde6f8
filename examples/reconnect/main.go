// Reconnect prints what a server sends, and comes back when the connection is
// lost: it shows how to keep a connection with Redial. The pauses grow from a
// tenth of a second to ten; Ctrl-C ends it.
//
//	go run ./examples/echo-server
//	go run ./examples/reconnect localhost:5555
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/bevgo/bev"
)

func main() {
	addr := "localhost:5555"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	if err := keep(addr); err != nil {
		log.Fatal(err)
	}
}

func keep(addr string) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()

	// A server that is silent is asked now and then; one that does not answer
	// is taken for lost.
	options := &bev.RedialOptions{
		MaxDelay: 10 * time.Second,
		Dial: &bev.DialOptions{
			Timeout: 5 * time.Second,
			Conn:    &bev.ConnOptions{KeepAlive: 30 * time.Second},
		},
	}
	redialer, err := bev.Redial(context.Background(), loop, "tcp", addr, setUp, options)
	if err != nil {
		return err
	}
	loop.Notify(func(os.Signal) {
		redialer.Stop()
		if c := redialer.Conn(); c != nil {
			c.Close()
		}
		// All that is left is closed: the loop ends without having lost
		// anything that was still to be sent.
		go loop.Shutdown(context.Background())
	}, os.Interrupt)
	if err := loop.Run(context.Background()); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// setUp is called for each new connection, before it is dialled.
func setUp(c *bev.Conn) {
	c.SetCallbacks(bev.Callbacks{
		Read: func(c *bev.Conn) {
			if _, err := c.Input().WriteTo(os.Stdout); err != nil {
				log.Print(err)
				c.Close()
			}
		},
		Event: func(c *bev.Conn, what bev.Event, err error) {
			switch {
			case what&bev.EventConnected != 0:
				fmt.Fprintln(os.Stderr, "connected to", c.RemoteAddr())
			case errors.Is(err, io.EOF):
				fmt.Fprintln(os.Stderr, "the server has ended, trying again")
				c.CloseAfterFlush(0)
			default:
				fmt.Fprintln(os.Stderr, err)
				c.Close()
			}
		},
	})
	c.Enable(bev.Reading)
	c.WriteString("hello\n") // goes out as soon as it is connected
}
