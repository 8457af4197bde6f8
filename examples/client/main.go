// Client talks to a server. It shows how to connect, and that a keyboard is an
// event on the loop like any other: one goroutine waits for both.
//
//	go run ./examples/echo-server
//	go run ./examples/client 127.0.0.1:5555
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
	addr := "127.0.0.1:5555"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	if err := talk(addr); err != nil {
		log.Fatal(err)
	}
}

func talk(addr string) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()

	var failed error
	// Dial returns at once. How it went is told to Event.
	_, err = bev.Dial(context.Background(), loop, "tcp", addr, bev.Callbacks{
		Read: func(c *bev.Conn) {
			if _, err := c.Input().WriteTo(os.Stdout); err != nil {
				failed = err
				loop.Stop()
			}
		},
		Event: func(c *bev.Conn, what bev.Event, err error) {
			if what&bev.EventConnected != 0 {
				fmt.Fprintln(os.Stderr, "connected: type, Ctrl-D ends")
				c.Enable(bev.Reading)
				_, failed = loop.Watch(int(os.Stdin.Fd()), bev.Reading, func(w *bev.Watch, _ bev.Dir) { typed(c, w) })
				if failed == nil {
					return
				}
			} else if !errors.Is(err, io.EOF) {
				failed = err
			}
			c.Close()
			loop.Stop()
		},
	}, nil)
	if err != nil {
		return err
	}
	if err := loop.Run(context.Background()); err != nil {
		return err
	}
	return failed
}

// typed is called when there is something on standard input, or its end: a
// read then does not wait, and nothing else has to wait for the keyboard.
func typed(c *bev.Conn, w *bev.Watch) {
	line := make([]byte, 4096)
	n, err := os.Stdin.Read(line)
	if n > 0 {
		_, err = c.Write(line[:n])
	}
	if err == nil {
		return
	}
	// The end of what is typed, or of what the server takes (cmd/bev's client
	// shows how to wait for a slow one). The server is told, answers what it
	// has, and ends its side; Event hears of that.
	if !errors.Is(err, io.EOF) {
		log.Println(err)
	}
	w.Stop()
	_ = c.CloseWrite() // it has failed already if this does
}
