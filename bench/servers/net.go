package main

import "net"

// serveNet is a goroutine for each connection, with the 4 KiB buffer that most
// programs use.
func serveNet(network, address string, _ int, ready func()) error {
	ln, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	ready()
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			p := make([]byte, 4096)
			for {
				n, err := c.Read(p)
				if err != nil {
					return
				}
				if _, err := c.Write(p[:n]); err != nil {
					return
				}
			}
		}()
	}
}
