package bev

import (
	"errors"
	"io"
	"net"

	"github.com/bevgo/bev/buffer"
)

// This file is how a netConn ends, in the callers' words: all, or one half, and
// with which error.

// opError dresses err as package net does. The caller holds mu.
func (n *netConn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var inner *net.OpError
	if errors.As(err, &inner) {
		if inner.Op == "dial" {
			return inner // it never was a connection to read or write
		}
		err = inner.Err
	}
	return &net.OpError{Op: op, Net: n.local.Network(), Source: n.local, Addr: n.remote, Err: err}
}

// Close is net.Conn's. What NetConn says about it is all there is to it here;
// the rest is done on the loop.
func (n *netConn) Close() error {
	var unread buffer.Buffer
	n.mu.Lock()
	if n.closed {
		err := n.opError("close", net.ErrClosed)
		n.mu.Unlock()
		return err
	}
	n.closed = true
	n.asks |= askClose
	n.dropInput(&unread)
	n.readEnd.stop()
	n.writeEnd.stop()
	n.readable.Broadcast()
	n.writable.Broadcast()
	// A Loop that is closed has closed the Conn.
	_ = n.post()
	n.mu.Unlock()
	unread.Reset() // without the lock, because others' functions may run
	return nil
}

// dropInput moves what nobody is going to read to b. What a Read is at just now
// is dropped when it is done.
func (n *netConn) dropInput(b *buffer.Buffer) {
	if !n.reading {
		b.MoveAll(&n.taken)
		n.lent = 0
	}
	b.MoveAll(&n.in)
	n.stalled = false
}

// CloseWrite is net.TCPConn's: the peer reads an end of file after what was
// written. Writes return net.ErrClosed from now on, reading goes on.
func (n *netConn) CloseWrite() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return n.opError("close", net.ErrClosed)
	case n.outErr == errWriteShut:
		return nil
	case n.outErr != nil:
		return n.opError("close", n.outErr)
	}
	n.asks |= askFin
	if err := n.post(); err != nil {
		return n.opError("close", err)
	}
	// What is in out stays there: endOutput is for failures.
	n.outErr = errWriteShut
	n.writable.Broadcast()
	return nil
}

// CloseRead is net.TCPConn's: Reads return io.EOF from now on. What the peer
// sends is dropped, so that it does not wait for room for ever.
func (n *netConn) CloseRead() error {
	var unread buffer.Buffer
	n.mu.Lock()
	if n.closed {
		err := n.opError("close", net.ErrClosed)
		n.mu.Unlock()
		return err
	}
	n.deaf = true
	n.dropInput(&unread)
	n.asks |= askRead
	err := n.opError("close", n.post())
	n.readable.Broadcast()
	n.mu.Unlock()
	unread.Reset()
	return err
}

// SetLinger is net.TCPConn's: it says what Close does about bytes that are not
// sent yet. Below 0, the default, they are sent in the background, see NetConn;
// 0 drops them, and the peer gets a reset; above 0 it is the seconds after
// which what is unsent is dropped.
func (n *netConn) SetLinger(sec int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return n.opError("set", net.ErrClosed)
	}
	n.linger = sec
	return nil
}

// LocalAddr is net.Conn's. It is never nil, and stays known after Close.
func (n *netConn) LocalAddr() net.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.local
}

// RemoteAddr is net.Conn's. It is never nil, and stays known after Close.
func (n *netConn) RemoteAddr() net.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.remote
}
