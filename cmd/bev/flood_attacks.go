package main

import (
	"errors"
	"time"

	"github.com/bevgo/bev"
)

// floodUnread sends and never reads. A server that is bounded stops taking
// soon; one that is not takes all that is offered, and its memory grows by as
// much.
type floodUnread struct {
	floodTarget
	Conns int   `default:"1" placeholder:"N" help:"How many do so (default ${default})."`
	Offer int64 `default:"2000000000" placeholder:"BYTES" help:"How much to offer in all (default ${default})."`
}

// Validate is called by kong.
func (a *floodUnread) Validate() error {
	if a.Offer < 1 {
		return errors.New("--offer must be above 0")
	}
	return a.valid(a.Conns)
}

// Run is called by kong.
func (a *floodUnread) Run(std stdio) error { return a.run(std, "unread", a.Conns, a) }

func (a *floodUnread) begin(f *flood) {
	chunk := make([]byte, 256<<10)
	stalled, offered := 0, int64(0)
	write := func(c *bev.Conn) {
		if f.over || offered >= a.Offer {
			f.done()
			return
		}
		offered += int64(len(chunk))
		c.Write(chunk)
	}
	// A write timeout: nothing went for the time of --quiet.
	stall := func(*bev.Conn, bev.Event, error) {
		if stalled++; stalled == len(f.open) {
			f.done()
		}
	}
	for range a.Conns {
		f.dial(bev.Callbacks{Write: write, Event: stall}, write, f.done)
	}
}

// floodLoris holds connections with as little as it takes to look alive.
type floodLoris struct {
	floodTarget
	Conns int `default:"1000" placeholder:"N" help:"How many connections to hold (default ${default})."`
}

// Validate is called by kong.
func (a *floodLoris) Validate() error { return a.valid(a.Conns) }

// Run is called by kong.
func (a *floodLoris) Run(std stdio) error { return a.run(std, "loris", a.Conns, a) }

func (a *floodLoris) begin(f *flood) {
	hold(f, a.Conns, func(c *bev.Conn) {
		c.Enable(bev.Reading)
		c.WriteString("G")
		var drip *bev.Timer
		drip = f.loop.Every(time.Second, func() {
			if f.over || c.Closed() {
				drip.Stop()
				return
			}
			c.WriteString("E")
		})
	})
}

// floodBytes has the server work for each byte: a segment, an event, an answer.
type floodBytes struct {
	floodTarget
	Conns int `default:"50" placeholder:"N" help:"How many do so (default ${default})."`
}

// Validate is called by kong.
func (a *floodBytes) Validate() error { return a.valid(a.Conns) }

// Run is called by kong.
func (a *floodBytes) Run(std stdio) error { return a.run(std, "bytes", a.Conns, a) }

func (a *floodBytes) begin(f *flood) {
	read := func(c *bev.Conn) {
		c.Input().Reset()
		if !f.over {
			c.WriteString("x") // the next, when the last is back
		}
	}
	for range a.Conns {
		f.dial(bev.Callbacks{Read: read}, func(c *bev.Conn) {
			c.Enable(bev.Reading)
			c.WriteString("x")
		}, nil)
	}
}

// floodReset comes and goes with a reset. What it has sent is on its way into
// the server then, or into its answer.
type floodReset struct {
	floodTarget
	Conns int `name:"parallel" default:"64" placeholder:"N" help:"How many at a time (default ${default})."`
}

// Validate is called by kong.
func (a *floodReset) Validate() error { return a.valid(a.Conns) }

// Run is called by kong.
func (a *floodReset) Run(std stdio) error { return a.run(std, "reset", a.Conns, a) }

func (a *floodReset) begin(f *flood) {
	message := make([]byte, 1000)
	var again func()
	sent := func(c *bev.Conn) { // all of it is in the kernel
		f.reset(c)
		again()
	}
	again = func() {
		if !f.over {
			f.dial(bev.Callbacks{Write: sent}, func(c *bev.Conn) { c.Write(message) }, func() { pause(f, again) })
		}
	}
	for range a.Conns {
		again()
	}
}

// floodVanish leaves the server with connections that are over before it has
// seen them.
type floodVanish struct {
	floodTarget
	Conns int `name:"parallel" default:"64" placeholder:"N" help:"How many at a time (default ${default})."`
}

// Validate is called by kong.
func (a *floodVanish) Validate() error { return a.valid(a.Conns) }

// Run is called by kong.
func (a *floodVanish) Run(std stdio) error { return a.run(std, "vanish", a.Conns, a) }

func (a *floodVanish) begin(f *flood) {
	var again func()
	again = func() {
		if !f.over {
			f.dial(bev.Callbacks{}, func(c *bev.Conn) { f.reset(c); again() }, func() { pause(f, again) })
		}
	}
	for range a.Conns {
		again()
	}
}

// floodConnect opens more connections than a server may have descriptors for.
type floodConnect struct {
	floodTarget
	Conns int `default:"5000" placeholder:"N" help:"How many connections to hold (default ${default})."`
}

// Validate is called by kong.
func (a *floodConnect) Validate() error { return a.valid(a.Conns) }

// Run is called by kong.
func (a *floodConnect) Run(std stdio) error { return a.run(std, "connect", a.Conns, a) }

func (a *floodConnect) begin(f *flood) {
	hold(f, a.Conns, func(c *bev.Conn) { c.Enable(bev.Reading) }) // to learn when the server ends it
}

// floodHalfOpen leaves the server with peers that are gone and have not said
// so: what it sends them is never acknowledged.
type floodHalfOpen struct {
	floodTarget
	Conns int `default:"1000" placeholder:"N" help:"How many connections to leave so (default ${default})."`
}

// Validate is called by kong.
func (a *floodHalfOpen) Validate() error { return a.valid(a.Conns) }

// Run is called by kong.
func (a *floodHalfOpen) Run(std stdio) error { return a.run(std, "half-open", a.Conns, a) }

func (a *floodHalfOpen) begin(f *flood) {
	message := make([]byte, 1000)
	hold(f, a.Conns, func(c *bev.Conn) {
		if err := deafen(c.FD()); err != nil {
			f.failed++
			f.first = err
			f.done()
			return
		}
		c.Write(message)
	})
}

// hold opens connections, some at a time, and has each do something once it is
// there.
func hold(f *flood, conns int, then func(*bev.Conn)) {
	const together = 256
	dialled := 0
	var more func()
	more = func() {
		if !f.over && dialled < conns {
			dialled++
			f.dial(bev.Callbacks{Read: func(c *bev.Conn) { c.Input().Reset() }}, func(c *bev.Conn) { then(c); more() }, more)
		}
	}
	for range min(together, conns) {
		more()
	}
}

// pause tries again after a while: a server that refuses is not there to be
// asked without end.
func pause(f *flood, again func()) { f.loop.AfterFunc(50*time.Millisecond, again) }
