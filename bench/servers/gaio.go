package main

import (
	"net"

	"github.com/xtaci/gaio"
)

// serveGaio is the server of gaio's README: a watcher, and a read for each
// write that has ended.
func serveGaio(network, address string, loops int, ready func()) error {
	ln, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	watchers := make([]*gaio.Watcher, loops)
	for i := range watchers {
		if watchers[i], err = gaio.NewWatcher(); err != nil {
			return err
		}
		go gaioEcho(watchers[i])
	}
	ready()
	for i := 0; ; i++ {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		if err := watchers[i%loops].Read(nil, c, make([]byte, 4096)); err != nil {
			return err
		}
	}
}

func gaioEcho(w *gaio.Watcher) {
	for {
		results, err := w.WaitIO()
		if err != nil {
			return
		}
		for _, r := range results {
			switch {
			case r.Error != nil || r.Operation == gaio.OpRead && r.Size == 0:
				w.Free(r.Conn)
			case r.Operation == gaio.OpRead:
				w.Write(nil, r.Conn, r.Buffer[:r.Size])
			case r.Operation == gaio.OpWrite:
				w.Read(nil, r.Conn, r.Buffer[:cap(r.Buffer)])
			}
		}
	}
}
