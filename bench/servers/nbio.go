package main

import (
	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
)

func serveNbio(s *settings) error {
	logging.SetLevel(logging.LevelError)
	e := nbio.NewEngine(nbio.Config{Network: s.network, Addrs: []string{s.address}, NPoller: s.loops})
	// Write copies what the kernel does not take, so p need not be kept.
	e.OnData(func(c *nbio.Conn, p []byte) { c.Write(p) })
	if err := e.Start(); err != nil {
		return err
	}
	s.ready()
	select {}
}
