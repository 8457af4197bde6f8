package bev_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/bevgo/bev"
)

// A server on all cores. A program that takes a Runner runs on one Loop, too.
func ExampleNewLoopGroup() {
	group, err := bev.NewLoopGroup(4, nil) // 0 is as many as Go uses cores
	if err != nil {
		log.Fatal(err)
	}
	defer group.Close()
	// accept runs on the Loop that its Conn belongs to.
	accept := func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
		c.Enable(bev.Reading)
	}
	ln, err := bev.Listen(group, "tcp", "127.0.0.1:0", accept, &bev.ListenOptions{
		Spread:   bev.SpreadLeastConns, // the default leaves it to the kernel
		MaxConns: 10_000,               // of all Loops together
	})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- group.Run(context.Background()) }()

	for range 8 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "hello")
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(ln.Stats().Conns, "connections:")
	for i, l := range group.Loops() {
		n := make(chan int)
		l.Post(func() { n <- l.Stats().Conns })
		fmt.Println("loop", i, "serves", <-n)
	}
	group.Stop()
	fmt.Println("end:", <-ended)
	// Output:
	// 8 connections:
	// loop 0 serves 2
	// loop 1 serves 2
	// loop 2 serves 2
	// loop 3 serves 2
	// end: <nil>
}
