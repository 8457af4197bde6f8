package main

import "github.com/tidwall/evio"

func serveEvio(network, address string, loops int, ready func()) error {
	var e evio.Events
	e.NumLoops = loops
	e.Serving = func(evio.Server) evio.Action { ready(); return evio.None }
	e.Data = func(_ evio.Conn, in []byte) ([]byte, evio.Action) { return in, evio.None }
	return evio.Serve(e, network+"://"+address)
}
