package main

import "github.com/tidwall/evio"

func serveEvio(s *settings) error {
	var e evio.Events
	e.NumLoops = s.loops
	e.Serving = func(evio.Server) evio.Action { s.ready(); return evio.None }
	e.Data = func(_ evio.Conn, in []byte) ([]byte, evio.Action) { return in, evio.None }
	return evio.Serve(e, s.network+"://"+s.address)
}
