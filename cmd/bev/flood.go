package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/bevgo/bev"
)

// floodCmd is "bev flood": what peers that mean harm do to a server, ours or
// anybody's, and what becomes of it. This file runs an attack, whichever it is;
// the attacks are in flood_attacks.go, what is measured in flood_result.go.
type floodCmd struct {
	Unread   floodUnread   `cmd:"" help:"Send and never read."`
	Loris    floodLoris    `cmd:"" help:"Hold many connections with a byte a second each."`
	Bytes    floodBytes    `cmd:"" help:"Send one byte at a time."`
	Reset    floodReset    `cmd:"" help:"Connect, send, reset, over and over."`
	Vanish   floodVanish   `cmd:"" help:"Connect and leave without a word, over and over."`
	Connect  floodConnect  `cmd:"" help:"Open many connections at once and hold them."`
	HalfOpen floodHalfOpen `cmd:"" help:"Ask, and never be heard of again: nothing is acknowledged (Linux)."`
}

// Help stands between the usage line and the attacks.
func (*floodCmd) Help() string {
	return `Attacks a server on this machine for a while, keeps still, and leaves. It prints what the server took, whether it served others meanwhile and afterwards (by echoes of a byte), and with --pid its memory, CPU time and descriptors: before, at worst, in the quiet while the attackers hold on, and when they have left. In the quiet a server that is fit costs nothing. An interrupt (Ctrl-C) ends the attack, or the quiet, and goes on with what comes next.

"bev echo" is such a server. Attack what is yours: an address that is not this machine's takes --remote.`
}

// floodTarget is what all attacks have in common.
type floodTarget struct {
	benchTarget
	Duration time.Duration `default:"5s" placeholder:"TIME" help:"How long to attack at most (default ${default})."`
	Quiet    time.Duration `default:"1s" placeholder:"TIME" help:"How long to keep still afterwards, and again when all have left (default ${default})."`
	Remote   bool          `help:"Attack an address that is not this machine's own."`
}

// valid finds mistakes in what all attacks have in common.
func (o *floodTarget) valid(conns int) error {
	switch {
	case o.Duration <= 0 || o.Quiet <= 0:
		return errors.New("--duration and --quiet must be above 0")
	case conns < 1:
		return errors.New("the number of connections must be above 0")
	}
	return addressFlags{Network: o.Network}.check(o.Addr)
}

// An attack is one way to do harm. All of it runs on the loop.
type attack interface {
	// begin starts it. It goes on by its callbacks until flood.over.
	begin(f *flood)
}

// flood is an attack under way.
type flood struct {
	o    *floodTarget
	name string
	loop *bev.Loop
	over bool // the attack has ended: do nothing more
	open map[*bev.Conn]bool
	next int // of the address to dial from

	opened, failed, ended int
	first                 error // why the first one failed
	peak                  int64 // the server's memory at worst
}

// run attacks, and prints what became of it.
func (o *floodTarget) run(std stdio, name string, conns int, a attack) error {
	if err := o.allowed(); err != nil {
		return err
	}
	if err := raiseLimit(conns + 64); err != nil {
		return err
	}
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	f := &flood{o: o, name: name, loop: loop, open: make(map[*bev.Conn]bool)}
	r, err := f.run(std, a)
	if err != nil {
		return err
	}
	return r.print(std.out, o.JSON)
}

// allowed refuses to attack other machines by mistake.
func (o *floodTarget) allowed() error {
	if o.Remote || o.Network == "unix" {
		return nil
	}
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return err
	}
	if host == "" {
		return nil // this machine, as Dial has it
	}
	ips, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", host)
	if err != nil {
		return err
	}
	for _, ip := range ips {
		if !ip.Unmap().IsLoopback() {
			return usageError{fmt.Errorf("%s is not this machine's own address: if it is yours to attack, say --remote", o.Addr)}
		}
	}
	return nil
}

// run is the order of events: look, attack, keep still, leave, and look after
// each.
func (f *flood) run(std stdio, a attack) (*floodResult, error) {
	by, err := newBystander(f.o)
	if err != nil {
		return nil, fmt.Errorf("nobody to attack: %w", err)
	}
	defer by.stop()
	before, err := f.look()
	if err != nil {
		return nil, err
	}
	f.loop.Notify(func(os.Signal) { f.loop.Stop() }, os.Interrupt)
	start := time.Now()
	a.begin(f)
	if err := f.pass(std, f.o.Duration); err != nil {
		return nil, err
	}
	f.over = true
	by.stop() // in the quiet nobody asks for anything
	r := &floodResult{Attack: f.name, Seconds: time.Since(start).Seconds()}
	during, err := f.look()
	if err != nil {
		return nil, err
	}
	if err := f.pass(std, f.o.Quiet); err != nil {
		return nil, err
	}
	quiet, err := f.look()
	if err != nil {
		return nil, err
	}
	r.Open = len(f.open)
	s := f.loop.Stats()
	r.Sent, r.Received = int64(s.BytesWritten), int64(s.BytesRead)
	r.Opened, r.Failed, r.Ended, r.Why = f.opened, f.failed, f.ended, text(f.first)
	f.leave()
	if err := f.pass(std, f.o.Quiet); err != nil {
		return nil, err
	}
	after, err := f.look()
	if err != nil {
		return nil, err
	}
	by.report(r)
	r.measured(before, during, quiet, after, f.peak)
	return r, nil
}

// pass runs the loop for d, or until an attack has done all it can, with a line
// that says how far it is.
func (f *flood) pass(std stdio, d time.Duration) error {
	end := f.loop.AfterFunc(d, f.loop.Stop)
	defer end.Stop()
	line, _ := std.err.(*os.File)
	if line != nil && !isTerminal(line) {
		line = nil
	}
	watch := f.loop.Every(100*time.Millisecond, func() {
		now, _ := memory(f.o.PID) // a server that is gone is found by look
		f.peak = max(f.peak, now)
		if line != nil {
			s := f.loop.Stats()
			fmt.Fprintf(line, "\r\x1b[K%s: %d connections so far, %d open, %d bytes taken ", f.name, f.opened, len(f.open), s.BytesWritten)
			if f.o.PID != 0 {
				fmt.Fprintf(line, "(server: %.1f MiB) ", mib(now))
			}
		}
	})
	defer watch.Stop()
	if line != nil {
		defer fmt.Fprint(line, "\r\x1b[K")
	}
	return f.loop.Run(context.Background())
}

// done ends an attack before its time.
func (f *flood) done() {
	if !f.over {
		f.loop.Stop()
	}
}

// leave resets what is left, so that no port waits in TIME_WAIT.
func (f *flood) leave() {
	for c := range f.open {
		c.Abort()
	}
	clear(f.open)
}

// dial makes one connection. connected is called when it is there, gone when
// it has failed or the server has ended it, each if not nil.
func (f *flood) dial(cb bev.Callbacks, connected func(*bev.Conn), gone func()) {
	own := cb.Event
	cb.Event = func(c *bev.Conn, what bev.Event, err error) {
		switch {
		case what == bev.EventConnected:
			f.opened++
			f.open[c] = true
			if connected != nil {
				connected(c)
			}
			return
		case own != nil && what&bev.EventTimeout != 0 && f.open[c]:
			own(c, what, err)
			return
		case f.open[c]:
			f.ended++
			delete(f.open, c)
		default:
			f.failed++
			if f.first == nil {
				f.first = err
			}
		}
		c.Close()
		if gone != nil {
			gone()
		}
	}
	o := &bev.DialOptions{LocalAddr: loopbackSource(f.o.Addr, f.next), Timeout: 10 * time.Second}
	o.Conn = &bev.ConnOptions{WriteTimeout: f.o.Quiet, KeepAlive: -1}
	f.next++
	if _, err := bev.Dial(context.Background(), f.loop, f.o.Network, f.o.Addr, cb, o); err != nil {
		f.failed++
		if f.first == nil {
			f.first = err
		}
		f.done()
	}
}

// reset drops a connection, as if it had never been.
func (f *flood) reset(c *bev.Conn) {
	delete(f.open, c)
	c.Abort()
}

// loopbackSource is the address to dial loopback from, the i-th time: one
// address has not enough ports for very many connections, so it is 127.1.0.1
// and up, 20 000 ports each (portsPerSource). Other servers are dialled from anywhere: "".
func loopbackSource(to string, i int) string {
	host, _, err := net.SplitHostPort(to)
	ip, ipErr := netip.ParseAddr(host)
	if err != nil || ipErr != nil || !ip.Is4() || !ip.IsLoopback() {
		return ""
	}
	k := i % loopbackSources / portsPerSource
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(k / 250), byte(k%250) + 1}), 0).String()
}

const (
	portsPerSource  = 20000
	loopbackSources = 250 * 250 * portsPerSource // ports there are in all
)

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
