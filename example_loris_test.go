//go:build unix

package bev_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"net"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

// A request has a time to arrive in, however alive its sender looks: a read
// timeout would begin anew with every byte that drips in.
func ExampleLoop_AfterFunc_slowLoris() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()
	ln, err := bev.Listen(loop, "tcp", "127.0.0.1:0", func(c *bev.Conn) {
		late := c.Loop().AfterFunc(10*time.Millisecond, func() { c.Abort() })
		c.SetCallbacks(bev.Callbacks{
			Read: func(c *bev.Conn) {
				line, err := c.Input().ReadLine(nil, buffer.CRLF, math.MaxInt)
				if err != nil {
					return // not all of it is here
				}
				late.Stop()
				fmt.Fprintf(c, "%d bytes, thank you\n", len(line))
				c.CloseAfterFlush(0)
			},
			Event: func(c *bev.Conn, _ bev.Event, _ error) {
				late.Stop()
				c.Close()
			},
		})
		c.Enable(bev.Reading)
	}, &bev.ListenOptions{MaxConns: 1000})
	if err != nil {
		log.Fatal(err)
	}
	go loop.Run(context.Background())

	loris, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer loris.Close()
	drip := time.NewTicker(time.Millisecond)
	defer drip.Stop()
	for range drip.C {
		if _, err := loris.Write([]byte("x")); err != nil {
			fmt.Println("the server has hung up")
			return
		}
	}
	// Output: the server has hung up
}
