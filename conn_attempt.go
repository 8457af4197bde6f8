package bev

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
)

// An attempt is one socket of a Dial that tries one address. It has a token of
// its own, because several race. The one that wins gives its descriptor to the
// Conn.
type attempt struct {
	d        *dialing
	addr     sys.Addr
	fd       int        // -1 once it is closed, or the Conn's
	token    poll.Token // 0: the poller does not know it
	deadline int64      // never: as long as the kernel takes
}

// begin makes a socket that tries to. nil: it is under way, or the Dial is
// over. With an error nothing of it is left.
func (d *dialing) begin(to sys.Addr) error {
	fd, err := sys.Socket(to.Family(), sys.Stream)
	if err != nil {
		return err
	}
	a := &attempt{d: d, addr: to, fd: fd, deadline: never}
	if t := d.opts.AttemptTimeout; t > 0 {
		a.deadline = after(d.loop.clock(), t)
	}
	// Before anything else, so that whatever ends the Dial closes it.
	d.racing = append(d.racing, a)
	err = a.connect()
	if d.over {
		return nil
	}
	switch err {
	case nil:
		err = a.won()
	case sys.ErrInProgress:
		err = a.watch()
	case sys.ErrAgain:
		// A unix listener's queue is full, and nothing goes on in the
		// background: connect(2).
		err = os.NewSyscallError("connect", syscall.EAGAIN)
	}
	if err != nil {
		d.remove(a)
	}
	return err
}

// connect sets the socket up and starts it off.
func (a *attempt) connect() error {
	d := a.d
	if err := d.settings.socket.set(a.fd, a.addr.Family()); err != nil {
		return err
	}
	if d.opts.Control != nil {
		if err := a.control(); err != nil || d.over {
			return err
		}
	}
	if local := d.localFor(a.addr); local.IsValid() {
		if local.Family() != sys.Unix && local.Port() == 0 {
			// Where the system has no such thing, bind chooses.
			_ = sys.SetBindLater(a.fd)
		}
		if err := sys.Bind(a.fd, local); err != nil {
			return err
		}
	}
	if err := sys.Connect(a.fd, a.addr); err != nil {
		return err
	}
	return a.checkSelf()
}

// control runs the user's function. A panic in it is the Conn's.
func (a *attempt) control() error {
	d := a.d
	network := d.network
	switch a.addr.Family() {
	case sys.Inet4:
		network = "tcp4"
	case sys.Inet6:
		network = "tcp6"
	}
	raw := &rawSocket{fd: a.fd}
	outer := d.loop.current
	d.loop.current = d
	err := d.opts.Control(network, a.addr.String(), raw)
	d.loop.current = outer
	raw.fd = -1
	return err
}

// watch has the poller tell when the attempt has ended. It comes after
// connect: the kernel calls a socket that has not begun both writable and hung
// up.
func (a *attempt) watch() error {
	l := a.d.loop
	a.token = l.sources.Insert(a)
	return l.poller.Add(a.fd, a.token, connInterest|poll.Write)
}

// connInterest is how the poller watches a Conn's descriptor. That of an attempt
// has to tell when it is connected, and a socket that was full once when there is
// room: by poll.Write.
const connInterest = poll.Read | poll.Edge

// ready is told that the attempt has ended, or perhaps not: readiness may be
// reported for no reason, so the socket is asked.
func (a *attempt) ready(r poll.Ready) {
	if r&(poll.Writable|poll.Hangup|poll.Failed) == 0 {
		return
	}
	err := a.outcome()
	if err == sys.ErrInProgress {
		return
	}
	if err == nil {
		err = a.won()
	}
	if err != nil {
		a.lost(err)
	}
}

func (a *attempt) outcome() error {
	if err := sys.SocketError(a.fd); err != nil {
		return os.NewSyscallError("connect", err)
	}
	if _, err := sys.PeerAddr(a.fd); err != nil {
		return sys.ErrInProgress // not connected, and no error: it is still trying
	}
	return a.checkSelf()
}

// checkSelf finds a socket that is connected to itself. TCP allows two ends to
// connect to each other at the same moment, and one socket to be both, if the
// kernel happened to give it the very port that it dials (RFC 9293, section
// 3.5, figure 7). Then nobody listens there: package net, too, takes it for a
// refusal.
func (a *attempt) checkSelf() error {
	if a.addr.Family() == sys.Unix || a.d.local.Port() != 0 {
		return nil
	}
	local, err := sys.LocalAddr(a.fd)
	if err == nil && local == a.addr {
		return os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	return nil
}

// won gives the descriptor to the Conn. Readiness that was reported for the
// attempt is reported once more under the Conn's token.
func (a *attempt) won() error {
	d, s := a.d, a.d.c
	s.fd = int32(a.fd)
	if err := a.handOver(); err != nil {
		s.fd = -1
		return err
	}
	a.fd = -1
	d.connected(a.addr)
	return nil
}

func (a *attempt) handOver() error {
	s := a.d.c
	if a.token == 0 {
		return s.register()
	}
	if err := s.loop.poller.Modify(a.fd, s.token(), connInterest); err != nil {
		return err
	}
	s.state = sockRegistered | sockWritable
	return nil
}

// lost ends one attempt, and makes place for the next.
func (a *attempt) lost(err error) {
	d := a.d
	d.remove(a)
	d.failed = append(d.failed, d.attemptError(a.addr, err))
	d.advance()
}

// remove takes an attempt out of the race and closes its socket, unless that
// is the Conn's.
func (d *dialing) remove(a *attempt) {
	d.racing = slices.DeleteFunc(d.racing, func(o *attempt) bool { return o == a })
	if a.token != 0 {
		d.loop.sources.Remove(a.token)
		a.token = 0
	}
	if a.fd >= 0 {
		_ = sys.Close(a.fd) // the attempt's own error is the one to tell
		a.fd = -1
	}
}

// shutdown closes the Conn with its Loop.
func (a *attempt) shutdown() { a.d.c.shutdown() }

// rawSocket is a descriptor as a Control function gets it, for as long as the
// function runs.
type rawSocket struct{ fd int }

func (r *rawSocket) Control(f func(fd uintptr)) error {
	if r.fd < 0 {
		return closedError("bev: the socket may be used only while Control runs")
	}
	f(uintptr(r.fd))
	return nil
}

func (r *rawSocket) Read(func(fd uintptr) bool) error  { return errRawIO }
func (r *rawSocket) Write(func(fd uintptr) bool) error { return errRawIO }

var errRawIO = fmt.Errorf("bev: the socket of a Control function is not connected yet: %w", errors.ErrUnsupported)

// attemptErrors are the failures of the addresses of one Dial.
type attemptErrors []*net.OpError

// Error names each address and what became of it, on one line.
func (e attemptErrors) Error() string {
	texts := make([]string, len(e))
	for i, op := range e {
		texts[i] = op.Addr.String() + ": " + op.Err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e attemptErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, op := range e {
		errs[i] = op
	}
	return errs
}

// Timeout is part of net.Error.
func (e attemptErrors) Timeout() bool { return e.allTimeouts() }

func (e attemptErrors) allTimeouts() bool {
	for _, op := range e {
		if !errors.Is(op, os.ErrDeadlineExceeded) {
			return false
		}
	}
	return len(e) > 0
}

func (d *dialing) attemptError(to sys.Addr, err error) *net.OpError {
	e := &net.OpError{Op: "dial", Net: d.network, Addr: to.NetAddr(), Err: err}
	if local := d.localFor(to); local.IsValid() {
		e.Source = local.NetAddr()
	}
	return e
}

// failure is what the Event callback is told. A Dial to one numeric address
// has one error, that of package net.
func (d *dialing) failure(err error) error {
	if d.host == "" && len(d.failed) == 1 {
		return d.failed[0]
	}
	if len(d.failed) > 0 {
		err = d.failed
	}
	return &net.OpError{Op: "dial", Net: d.network, Addr: dialAddr{d.network, d.address}, Err: err}
}

// dialAddr is the address that Dial was given, where it is not one address of
// the network.
type dialAddr struct{ network, address string }

func (a dialAddr) Network() string { return a.network }
func (a dialAddr) String() string  { return a.address }
