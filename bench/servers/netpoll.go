package main

import (
	"context"

	"github.com/cloudwego/netpoll"
)

func serveNetpoll(network, address string, loops int, ready func()) error {
	if err := netpoll.Configure(netpoll.Config{PollerNum: loops}); err != nil {
		return err
	}
	ln, err := netpoll.CreateListener(network, address)
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
	ready()
	return el.Serve(ln)
}
