package bev

import (
	"errors"
	"fmt"
	"os"

	"github.com/bevgo/bev/internal/sys"
)

// This file makes the sockets of a Listener, and closes them.

// bind makes one socket, or as many as the kernel is to spread callers over.
func (ln *Listener) bind(network, addr string, o *ListenOptions) error {
	a, err := sys.ParseAddr(network, addr)
	if errors.Is(err, sys.ErrHostName) {
		err = fmt.Errorf("%q: give a numeric address of this machine, or none for all of them", addr)
	}
	if err != nil {
		return err
	}
	ln.addr = a.NetAddr() // for the text of an error, until the kernel has said what it bound
	if len(ln.acceptors) == 1 || !ln.byKernel(a) {
		if ln.spread == SpreadKernel {
			ln.spread = SpreadLeastConns
		}
		_, err = ln.acceptors[0].open(network, a, o)
		return err
	}
	if err := ln.claim(network, a, o); err != nil {
		return err
	}
	shared := *o
	shared.ReusePort = true
	for _, acc := range ln.acceptors {
		if a, err = acc.open(network, a, &shared); err != nil {
			return err // the port that the kernel picked for the first one serves all
		}
	}
	return nil
}

// byKernel reports whether several sockets are to share the address.
func (ln *Listener) byKernel(a sys.Addr) bool {
	return ln.spread == SpreadKernel && ln.pick == nil && a.Family() != sys.Unix && sys.ReusePortSpreads
}

// claim makes sure that nobody listens at a. With SO_REUSEPORT, a second server
// that was started by mistake would otherwise get a share of the first one's
// callers, without an error to either (socket(7)). Somebody who binds between
// this and our own sockets is not noticed.
func (ln *Listener) claim(network string, a sys.Addr, o *ListenOptions) error {
	if o.ReusePort || a.Port() == 0 {
		return nil // sharing was asked for; or the kernel picks a port of nobody's
	}
	probe := acceptor{ln: ln, fd: -1}
	var err error
	if probe.fd, err = sys.Socket(a.Family(), sys.Stream); err != nil {
		return err
	}
	if err = probe.configure(network, a, o); err == nil {
		err = sys.Bind(probe.fd, a)
	}
	return errors.Join(err, sys.Close(probe.fd))
}

// open makes the socket of one acceptor, and returns its address. Options that
// accepted sockets inherit are set here, once, instead of on each of them
// (tcp(7); tcp_create_openreq_child copies them in Linux, sonewconn on the
// BSDs).
func (a *acceptor) open(network string, at sys.Addr, o *ListenOptions) (bound sys.Addr, err error) {
	ln := a.ln
	if a.fd, err = sys.Socket(at.Family(), sys.Stream); err != nil {
		return bound, err
	}
	if err := a.configure(network, at, o); err != nil {
		return bound, err
	}
	if err := sys.Bind(a.fd, at); err != nil {
		return bound, err
	}
	if path := at.Path(); path != "" && path[0] != '@' {
		ln.path = path
	}
	backlog := o.Backlog
	if backlog == 0 {
		backlog = DefaultBacklog
	}
	if err := sys.Listen(a.fd, max(backlog, 1)); err != nil {
		return bound, err
	}
	if bound, err = sys.LocalAddr(a.fd); err != nil {
		return bound, err
	}
	ln.addr = bound.NetAddr()
	a.listens = true
	ln.listening++
	a.spare.wanted = o.OnExhausted == Refuse
	return bound, a.spare.open()
}

func (a *acceptor) configure(network string, at sys.Addr, o *ListenOptions) error {
	if at.Family() == sys.Unix {
		if o.ReusePort {
			return errors.New("ReusePort is for TCP: a unix path belongs to one listener")
		}
		return nil
	}
	if !o.NoReuseAddr {
		if err := sys.SetReuseAddr(a.fd, true); err != nil {
			return err
		}
	}
	if o.ReusePort {
		if err := sys.SetReusePort(a.fd, true); err != nil {
			return err
		}
	}
	if at.Family() == sys.Inet6 {
		// "tcp" on the wildcard takes IPv4 callers too, as package net's does.
		if err := sys.SetV6Only(a.fd, network == "tcp6" || !at.IsWildcard()); err != nil {
			return err
		}
	}
	return a.ln.settings.socket.set(a.fd, at.Family())
}

func (a *acceptor) closeFD() {
	if a.fd < 0 {
		return
	}
	if a.ln.path != "" {
		_ = os.Remove(a.ln.path) // somebody may have done it
	}
	if err := sys.Close(a.fd); err != nil {
		a.loop.logger().Error("bev: closing a listener", "addr", a.ln.addr, "err", err)
	}
	a.fd = -1
}
