//go:build unix

package bev_test

import (
	"context"
	"fmt"
	"time"

	"github.com/bevgo/bev"
)

// A connection that reads 10 000 bytes per second: half of a tick's worth at
// once, then what each tick of 100 ms brings.
func ExampleConn_SetRateLimit() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer loop.Close()
	a, b, err := bev.Pair(loop, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := b.SetRateLimit(&bev.RateLimit{Read: 10_000}); err != nil {
		fmt.Println(err)
		return
	}
	start := time.Now()
	b.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
		if c.Stats().BytesRead == 2500 {
			loop.Stop()
		}
	}})
	b.Enable(bev.Reading)
	a.Write(make([]byte, 2500))
	if err := loop.Run(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("took more than 200 ms:", time.Since(start) > 200*time.Millisecond)
	// Output: took more than 200 ms: true
}

// All clients of a server together get a megabyte per second, and each of them
// 100 kB at most.
func ExampleRateGroup() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer loop.Close()
	group, err := bev.NewRateGroup(loop, bev.RateLimit{Write: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	each := &bev.RateLimit{Write: 100 << 10}
	ln, err := bev.Listen(loop, "tcp", "127.0.0.1:0", func(c *bev.Conn) {
		if err := group.Add(c); err != nil {
			c.Abort()
			return
		}
		if err := c.SetRateLimit(each); err != nil {
			c.Abort()
			return
		}
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
		c.Enable(bev.Reading)
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	fmt.Println(group.Limit().Write, "bytes per second for", group.Members(), "clients")
	// Output: 1048576 bytes per second for 0 clients
}

// A server whose connections together hold no more than 64 MB of what they
// have read and not yet sent.
func ExampleLoopOptions_memoryBudget() {
	loop, err := bev.NewLoop(&bev.LoopOptions{MemoryBudget: 64 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer loop.Close()
	a, b, err := bev.Pair(loop, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	b.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
		s := loop.Stats()
		fmt.Println("holding", s.Buffered, "bytes,", s.BudgetWaiting, "connections wait")
		loop.Stop()
	}})
	b.Enable(bev.Reading)
	a.WriteString("hello")
	if err := loop.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: holding 517 bytes, 0 connections wait
}
