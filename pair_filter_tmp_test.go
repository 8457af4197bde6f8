package bev_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/bevgo/bev"
)

type xor struct{ k byte }

func (x xor) In(s *bev.FilterStreams, m bev.FlushMode) error {
	b := make([]byte, min(s.UserRoom, s.FromBelow.Len()))
	n, _ := s.FromBelow.Read(b)
	for i := range b[:n] {
		b[i] ^= x.k
	}
	s.ToUser.Append(b[:n])
	return nil
}
func (x xor) Out(s *bev.FilterStreams, m bev.FlushMode) error {
	b := make([]byte, min(s.BelowRoom, s.FromUser.Len()))
	n, _ := s.FromUser.Read(b)
	for i := range b[:n] {
		b[i] ^= x.k
	}
	s.ToBelow.Append(b[:n])
	return nil
}

func TestTmpPair(t *testing.T) {
	for depth := 0; depth < 100; depth = depth*3 + 1 {
		loop, _ := bev.NewLoop(nil)
		a, b, err := bev.Pair(loop, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < depth; i++ {
			a, err = bev.NewFilter(a, xor{byte(i)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err = bev.NewFilter(b, xor{byte(i)}, nil)
			if err != nil {
				t.Fatal(err)
			}
		}
		var got []byte
		b.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) },
			Event: func(c *bev.Conn, what bev.Event, err error) {
				t.Log("b", what, err)
				c.CloseAfterFlush(0)
			}})
		b.Enable(bev.Reading)
		a.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
			p := make([]byte, c.Input().Len())
			c.Input().Read(p)
			got = append(got, p...)
		}, Event: func(c *bev.Conn, what bev.Event, err error) {
			t.Log("a", what, err)
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			c.Close()
			loop.AfterFunc(0, func() { loop.AfterFunc(0, func() { fmt.Println(loop.Stats().Conns); loop.Stop() }) })
		}})
		a.Enable(bev.Reading)
		big := make([]byte, 3<<20)
		for i := range big {
			big[i] = byte(i * 7)
		}
		a.Write(big)
		a.CloseWrite()
		loop.AfterFunc(2e9, func() {
			x := a
			for x != nil {
				t.Logf("a %+v", x.Stats())
				x = x.Underlying()
			}
			x = b
			for x != nil {
				t.Logf("b %+v", x.Stats())
				x = x.Underlying()
			}
			t.Logf("%+v", loop.Stats())
			loop.Stop()
		})
		if err := loop.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if string(got) != string(big) {
			t.Fatal("differ", len(got), len(big))
		}
		loop.Close()
	}
}
