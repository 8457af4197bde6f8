package bev_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/bevgo/bev"
)

// shout makes what comes upper case, and leaves what is sent as it is.
type shout struct{}

func (shout) In(s *bev.FilterStreams, _ bev.FlushMode) error {
	p := make([]byte, min(s.FromBelow.Len(), s.UserRoom))
	n, _ := s.FromBelow.Read(p)
	s.ToUser.AppendOwned(bytes.ToUpper(p[:n]), nil)
	return nil
}

func (shout) Out(s *bev.FilterStreams, _ bev.FlushMode) error {
	s.ToBelow.Move(s.FromUser, s.BelowRoom)
	return nil
}

// A filter changes the bytes between a connection and its user. Filters can
// lie on filters, on sockets and, as here, on pairs.
func ExampleNewFilter() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()
	peer, under, err := bev.Pair(loop, nil)
	if err != nil {
		log.Fatal(err)
	}
	c, err := bev.NewFilter(under, shout{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
		fmt.Println(c.Input())
		loop.Stop()
	}})
	c.Enable(bev.Reading)
	peer.WriteString("hello")
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: HELLO
}
