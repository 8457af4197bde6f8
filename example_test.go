package bev_test

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

// A server that answers, and ends after one conversation.
func ExampleListen() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()

	ln, err := bev.Listen(loop, "tcp", "127.0.0.1:0", func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{
			Read: func(c *bev.Conn) {
				fmt.Printf("the server has %q\n", c.Input().String())
				c.WriteBuffer(c.Input()) // and Input is empty
			},
			Event: func(c *bev.Conn, what bev.Event, err error) {
				fmt.Println("the server is told", what, err)
				c.CloseAfterFlush(0)
				loop.Stop()
			},
		})
		c.Enable(bev.Reading)
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	go func() { // anybody; here package net
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "hello")
		io.ReadFull(c, make([]byte, len("hello")))
	}()
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// the server has "hello"
	// the server is told reading|eof EOF
}

// echoListener listens with the naive echo server, for the examples below to
// talk to.
func echoListener(loop *bev.Loop) string {
	ln, err := bev.Listen(loop, "tcp", "127.0.0.1:0", func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
		c.Enable(bev.Reading)
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	return ln.Addr().String()
}

// A client. It may write before it is connected.
func ExampleDial() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()
	addr := echoListener(loop)

	c, err := bev.Dial(context.Background(), loop, "tcp", addr, bev.Callbacks{
		Read: func(c *bev.Conn) {
			fmt.Printf("received %q\n", c.Input().ToBytes())
			c.Input().Drain(c.Input().Len())
			c.CloseWrite() // no more questions
		},
		Event: func(c *bev.Conn, what bev.Event, err error) {
			switch {
			case what&bev.EventConnected != 0:
				fmt.Println("connected")
				return
			case errors.Is(err, io.EOF):
				fmt.Println("the server has closed")
			default: // refused, reset, timed out: err says which
				fmt.Println("failed:", err)
			}
			c.Close()
			loop.Stop()
		},
	}, &bev.DialOptions{Timeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err) // a bad argument; a server that is down is told to Event
	}
	c.Enable(bev.Reading)
	c.WriteString("hello")

	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// connected
	// received "hello"
	// the server has closed
}

// With a low mark a callback waits until there is enough to work with; with a
// high mark it is never given more than it can use.
func ExampleConn_SetWatermark() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()

	ln, err := bev.Listen(loop, "tcp", "127.0.0.1:0", func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{
			Read: func(c *bev.Conn) {
				fmt.Printf("%q\n", c.Input().String())
				c.Input().Drain(c.Input().Len())
			},
			Event: func(c *bev.Conn, _ bev.Event, err error) {
				fmt.Printf("%v; %q is below the low mark\n", err, c.Input().String())
				c.Close()
				loop.Stop()
			},
		})
		if err := c.SetWatermark(bev.Reading, bev.Watermark{Low: 5, High: 10}); err != nil {
			log.Fatal(err) // Low above High, or negative
		}
		c.Enable(bev.Reading)
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	c, err := bev.Dial(context.Background(), loop, "tcp", ln.Addr().String(), bev.Callbacks{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	c.WriteString("a message of 23 letters")
	c.CloseWrite()
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// "a message "
	// "of 23 lett"
	// EOF; "ers" is below the low mark
}

// Other goroutines hand their results over as functions that run on the loop,
// where everything may be touched without a lock.
func ExampleLoop_Post() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()

	sum := 0 // the loop's
	go func() {
		for i := 1; i <= 100; i++ {
			loop.Post(func() { sum += i })
		}
		loop.Post(func() {
			fmt.Println("the sum is", sum) // calls run in the order posted
			loop.Stop()
		})
	}()
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// the sum is 5050
}

// A Handle is how other goroutines write to a Conn.
func ExampleHandle_Write() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()
	addr := echoListener(loop)

	c, err := bev.Dial(context.Background(), loop, "tcp", addr, bev.Callbacks{
		Read: func(c *bev.Conn) {
			if c.Input().Len() == len("one two three ") {
				fmt.Printf("%q came back\n", c.Input().String())
				c.Close()
				loop.Stop()
			}
		},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	c.Enable(bev.Reading)

	h := c.Handle() // a small value, to give away and to keep
	gone := make(chan error)
	go func() {
		for _, word := range []string{"one ", "two ", "three "} {
			if _, err := h.Write([]byte(word)); err != nil {
				log.Fatal(err) // ErrOutputFull: the peer does not keep up
			}
		}
		<-gone
		_, err := h.Write([]byte("four"))
		gone <- err
	}()
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	gone <- nil
	fmt.Println("the Conn is gone:", errors.Is(<-gone, net.ErrClosed))
	// Output:
	// "one two three " came back
	// the Conn is gone: true
}

func ExampleLoop_AfterFunc() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()

	late := loop.AfterFunc(time.Hour, func() { fmt.Println("an hour later") })
	loop.AfterFunc(2*time.Millisecond, func() {
		fmt.Println("second; the late one was still armed:", late.Stop())
		loop.Stop()
	})
	loop.AfterFunc(time.Millisecond, func() { fmt.Println("first") })
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// first
	// second; the late one was still armed: true
}

// Whatever has a descriptor can be waited for on the loop: a terminal, an
// inotify descriptor, or as here a pipe.
func ExampleLoop_Watch() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	_, err = loop.Watch(int(r.Fd()), bev.Reading, func(watch *bev.Watch, _ bev.Dir) {
		line := make([]byte, 100)
		n, err := r.Read(line) // there is something, so this does not wait
		fmt.Printf("%q %v\n", line[:n], err)
		if err != nil {
			watch.Stop() // before its descriptor is closed
			loop.Stop()
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(w, "hello")
	w.Close()
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// "hello" <nil>
	// "" EOF
}
