package main

import (
	"net"

	"github.com/xtaci/gaio"
)

// serveGaio is the server of gaio's README: a watcher, and a read for each
// write that has ended.
func serveGaio(s *settings) error {
	ln, err := net.Listen(s.network, s.address)
	if err != nil {
		return err
	}
	watchers := make([]*gaio.Watcher, s.loops)
	for i := range watchers {
		if watchers[i], err = gaio.NewWatcher(); err != nil {
			return err
		}
		go gaioEcho(watchers[i])
	}
	s.ready()
	for i := 0; ; i++ {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		if err := watchers[i%s.loops].Read(nil, c, make([]byte, s.buffer)); err != nil {
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
