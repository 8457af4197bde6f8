package bevfilter_test

import (
	"context"
	"fmt"
	"log"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/bevfilter"
)

// Two ends that talk in compressed lines: the filter for lines lies on the one
// for gzip, and neither knows of the other.
func Example() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()
	client, server, err := bev.Pair(loop, nil) // or sockets
	if err != nil {
		log.Fatal(err)
	}
	stack := func(c *bev.Conn) *bev.Conn {
		zip, err := bevfilter.NewGzip(nil)
		if err != nil {
			log.Fatal(err)
		}
		for _, f := range []bev.Filter{zip, &bevfilter.Lines{Max: 1000}} {
			if c, err = bev.NewFilter(c, f, nil); err != nil {
				log.Fatal(err)
			}
		}
		return c
	}
	client, server = stack(client), stack(server)

	server.SetCallbacks(bev.Callbacks{
		Read: func(c *bev.Conn) {
			fmt.Printf("line: %q\n", c.Input().String())
			c.Input().Reset()
		},
		Event: func(c *bev.Conn, what bev.Event, _ error) {
			fmt.Println(what)
			loop.Stop()
		},
	})
	server.Enable(bev.Reading)
	client.WriteString("first\r\nsecond\n")
	client.CloseWrite()
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// line: "first\n"
	// line: "second\n"
	// reading|eof
}
