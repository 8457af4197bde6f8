package main

import (
	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
)

func serveNbio(network, address string, loops int, ready func()) error {
	logging.SetLevel(logging.LevelError)
	e := nbio.NewEngine(nbio.Config{Network: network, Addrs: []string{address}, NPoller: loops})
	e.OnData(func(c *nbio.Conn, p []byte) { c.Write(append([]byte(nil), p...)) })
	if err := e.Start(); err != nil {
		return err
	}
	ready()
	select {}
}
