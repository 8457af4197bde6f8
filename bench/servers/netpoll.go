package main

import (
	"context"

	"github.com/cloudwego/netpoll"
)

func serveNetpoll(s *settings) error {
	if err := netpoll.Configure(netpoll.Config{PollerNum: s.loops}); err != nil {
		return err
	}
	ln, err := netpoll.CreateListener(s.network, s.address)
	if err != nil {
		return err
	}
	el, err := netpoll.NewEventLoop(func(_ context.Context, c netpoll.Connection) error {
		r, w := c.Reader(), c.Writer()
		defer r.Release()
		p, err := r.Next(r.Len())
		if err != nil {
			return err
		}
		if _, err := w.WriteBinary(p); err != nil {
			return err
		}
		return w.Flush()
	})
	if err != nil {
		return err
	}
	s.ready()
	return el.Serve(ln)
}
