//go:build unix

package bev_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/bevgo/bev"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, test := range []struct {
		err  error
		says string
	}{
		{bev.ErrInputFull, "SetWatermark"},
		{bev.ErrOutputFull, "OutputLimit"},
		{bev.ErrRunning, "one goroutine at a time"},
		{bev.ErrGoexit, "return from callbacks instead"},
	} {
		text := test.err.Error()
		if !strings.HasPrefix(text, "bev: ") || !strings.Contains(text, test.says) {
			t.Errorf("%q does not begin with bev, or does not say %q", text, test.says)
		}
		if errors.Is(test.err, net.ErrClosed) {
			t.Errorf("%q is net.ErrClosed", text)
		}
	}
}

// What is done to a thing that is gone fails with net.ErrClosed, in words that
// say which thing and why.
func TestErrorsOfThingsThatAreGoneAreToldApart(t *testing.T) {
	r := newRig(t, nil)
	fd, _ := socketPair(t)
	c, err := bev.NewConn(r.l, fd, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := c.Handle()
	wants := func(what string, err error, says string) {
		t.Helper()
		if !errors.Is(err, net.ErrClosed) || errors.Is(err, bev.ErrGoexit) || !strings.HasPrefix(err.Error(), "bev: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want net.ErrClosed that says %q", what, err, says)
		}
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wants("Write after CloseWrite", second(c.Write([]byte("x"))), "CloseWrite")
	c.CloseAfterFlush(0)
	wants("Write after CloseAfterFlush", second(c.Write([]byte("x"))), "CloseAfterFlush")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wants("Close again", c.Close(), "connection is closed")
	wants("Write after Close", second(c.Write([]byte("x"))), "connection is closed")
	wants("Handle.Close after Close", h.Close(), "connection is closed")
	ln := r.listen("tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	wants("Listener.Close again", ln.Close(), "listener is closed")
	if err := r.l.Close(); err != nil {
		t.Fatal(err)
	}
	wants("Post on a closed Loop", r.l.Post(func() {}), "loop is closed")
	wants("Run of a closed Loop", r.l.Run(t.Context()), "loop is closed")
}
