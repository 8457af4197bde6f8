package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/bevgo/bev"
)

// benchHold is one client process of "bev bench idle". It opens its connections
// at once, and then does what it is told: echo, rest, close.
type benchHold struct {
	Addr    string        `arg:""`
	Network string        `default:"tcp" enum:"tcp,unix"`
	Conns   int           `required:""`
	From    int           `help:"How many connections have been opened by the processes before this one."`
	Active  int           ``
	Every   time.Duration `default:"100ms"`
	Dials   int           `default:"256"`
	Timeout time.Duration `default:"1h"`
}

// idleMessage is what an active connection sends.
const idleMessage = 64

// idleClient is one that runs. All of it belongs to the loop's goroutine.
type idleClient struct {
	*benchHold
	loop    *bev.Loop
	out     *json.Encoder
	conns   []*bev.Conn
	opening int
	ops     int64
	echoing bool
	closing bool
	latency *hdrhistogram.Histogram
	message []byte
}

// Run is called by kong.
func (b *benchHold) Run(std stdio) error {
	h := &idleClient{benchHold: b, out: json.NewEncoder(std.out), latency: latencies()}
	h.message = newPattern(idleMessage).bytes[:idleMessage]
	if err := raiseLimit(b.Conns + spareDescriptors); err != nil {
		return h.out.Encode(news{Event: "opened", Error: err.Error()})
	}
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	h.loop = loop
	loop.Every(100*time.Millisecond, func() { h.say("progress") })
	loop.Post(h.more)
	go listenTo(std.in, func(word string) { _ = loop.Post(func() { h.told(word) }) }, loop.Stop)
	return loop.Run(context.Background())
}

func (h *idleClient) say(event string) {
	if h.out.Encode(news{Event: event, Conns: len(h.conns), Ops: h.ops}) != nil {
		h.loop.Stop() // the parent is gone
	}
}

func (h *idleClient) fail(err error) {
	_ = h.out.Encode(news{Event: "failed", Error: err.Error()})
	h.loop.Stop()
}

func (h *idleClient) told(word string) {
	switch word {
	case "echo":
		h.echoing = true
		for i, c := range h.conns[:h.Active] {
			// Spread over the interval, so that no crowd waits for itself.
			h.loop.AfterFunc(h.Every*time.Duration(i)/time.Duration(h.Active), func() { h.begin(c) })
		}
	case "rest":
		h.echoing = false
		_ = h.out.Encode(news{Event: "rested", Conns: len(h.conns), Ops: h.ops, Latency: h.latency.Export()})
	case "close":
		h.closing = true
		for _, c := range h.conns {
			c.Abort() // so that no port is left in TIME_WAIT
		}
		h.conns = nil
		h.say("closed")
	}
}

// more keeps some dials under way until there are enough connections.
func (h *idleClient) more() {
	for h.opening < h.Dials && h.opening+len(h.conns) < h.Conns {
		h.opening++
		o := &bev.DialOptions{
			LocalAddr: h.source(),
			Conn:      &bev.ConnOptions{ReadTimeout: h.Timeout, IdleTimeout: h.Timeout},
		}
		if _, err := bev.Dial(context.Background(), h.loop, h.Network, h.Addr, bev.Callbacks{Read: h.read, Event: h.event}, o); err != nil {
			h.fail(err)
			return
		}
	}
}

// source is where the next one comes from: the loopback network has 16 million
// addresses, and bind(2) takes longer the fewer ports an address has left.
func (h *idleClient) source() string {
	const each, ports = 4000, 20000 // loopbackSource changes the address every so many
	return loopbackSource(h.Addr, (h.From+h.opening+len(h.conns))*(ports/each))
}

func (h *idleClient) event(c *bev.Conn, what bev.Event, err error) {
	switch {
	case h.closing:
	case what == bev.EventConnected:
		h.opening--
		c.Enable(bev.Reading)
		h.conns = append(h.conns, c)
		if len(h.conns) == h.Conns {
			h.say("opened")
		}
		h.more()
	default:
		h.fail(fmt.Errorf("after %d connections: %w", h.From+len(h.conns), err))
	}
}

// begin has c echo, again and again.
func (h *idleClient) begin(c *bev.Conn) {
	e := &echoing{}
	c.SetData(e)
	h.send(c, e)
	var t *bev.Timer
	t = h.loop.Every(h.Every, func() {
		switch {
		case h.closing || !h.echoing:
			t.Stop()
		case !e.waits:
			h.send(c, e)
		}
		// A reply that is late is waited for, and counts for as long as it took.
	})
}

// echoing is an active connection.
type echoing struct {
	waits bool
	sent  time.Time
}

func (h *idleClient) send(c *bev.Conn, e *echoing) {
	e.waits, e.sent = true, time.Now()
	if _, err := c.Write(h.message); err != nil {
		h.fail(err)
	}
}

func (h *idleClient) read(c *bev.Conn) {
	if c.Input().Len() < idleMessage {
		return
	}
	e, _ := c.Data().(*echoing)
	if e == nil || !e.waits || !bytes.Equal(c.Input().ToBytes(), h.message) {
		h.fail(errOtherBytes)
		return
	}
	c.Input().Drain(idleMessage)
	e.waits = false
	h.ops++
	_ = h.latency.RecordValue(time.Since(e.sent).Nanoseconds()) // longer than a hundred seconds
}
