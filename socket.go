package bev

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
)

// socketConn is a Conn over a descriptor of the kernel: a TCP or unix socket,
// or anything else that can be read and written without blocking. Conn and
// transport are one allocation.
//
// The descriptor is registered once, edge-triggered, for reading, and a second
// time when a write has found no room: from then on for both. An edge says that readiness
// began; readable and writable remember it until a read or write finds the end
// of it. So a Conn that is suspended costs no system call, neither when it stops
// nor when it goes on.
type socketConn struct {
	Conn // its fd, -1 for none, and its state
}

type socketState uint8

const (
	sockReadable   socketState = 1 << iota // a read may find bytes
	sockWritable                           // a write may find room
	sockHungUp                             // the end or an error lies behind the bytes: read on to meet it
	sockAlways                             // a file: the poller does not watch it
	sockShared                             // others hold the open file: closing does not end the watch
	sockPlain                              // not a socket: a pipe, a terminal, a file
	sockRegistered                         // the poller knows it
)

// NewConn makes a Conn over a descriptor that exists. from is one of
//
//   - an int: the descriptor. The Conn takes ownership of it (unless KeepOpen)
//     and makes it non-blocking. -1 stands for none yet, see [Conn.SetFD].
//   - a *os.File, a net.Conn or anything else that is a syscall.Conn: its
//     descriptor is duplicated and, unless KeepOpen, from is closed. This keeps
//     from's own poller away from it.
//
// With an error an int is still the caller's. As every Conn it is born with
// writing enabled, reading disabled and no callbacks. A descriptor that is not
// a socket is made non-blocking only when it is taken over; one that stays
// shared has to be non-blocking already, or is for [Loop.Watch]. Loop only.
//
// Libevent: bufferevent_socket_new.
func NewConn(l *Loop, from any, o *ConnOptions) (*Conn, error) {
	l.assertOwner("NewConn")
	s, err := settings(o, true)
	if err != nil {
		return nil, err
	}
	fd, shared, err := takeDescriptor(from, s.flags&flagKeepOpen != 0)
	if err != nil {
		return nil, fmt.Errorf("bev: NewConn: %w", err)
	}
	keep := s.flags&flagKeepOpen != 0
	if shared {
		s.flags &^= flagKeepOpen // the duplicate is ours to close
	}
	l.sockets.Add(1)
	c := newSocketConn(l, -1, s)
	if fd < 0 {
		c.noRead |= ReasonNoFD
		c.noWrite |= ReasonNoFD
		return &c.Conn, nil
	}
	if err := c.attach(fd, keep); err != nil {
		c.fd = -1
		c.close(false)
		if shared {
			_ = sys.Close(fd) // the first error is the one to report
		}
		return nil, fmt.Errorf("bev: NewConn: descriptor %d: %w", fd, err)
	}
	return &c.Conn, nil
}

// takeDescriptor finds the descriptor in what NewConn was given. dup says that
// it is a duplicate of ours.
func takeDescriptor(from any, keepOpen bool) (fd int, dup bool, err error) {
	switch v := from.(type) {
	case int:
		if v < -1 {
			return -1, false, fmt.Errorf("descriptor %d: give one that is open, or -1 for none yet", v)
		}
		return v, false, nil
	case uintptr:
		return int(v), false, nil
	case syscall.Conn:
		fd, err = duplicate(v)
		if err != nil {
			return -1, false, err
		}
		if c, ok := from.(interface{ Close() error }); ok && !keepOpen {
			err = c.Close()
		}
		if err != nil {
			_ = sys.Close(fd)
			return -1, false, err
		}
		return fd, true, nil
	}
	return -1, false, fmt.Errorf("%T has no descriptor: give an int, a *os.File or a net.Conn of the system", from)
}

// duplicate never uses File or Fd: both would make the open file blocking.
func duplicate(sc syscall.Conn) (fd int, err error) {
	rc, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	ctlErr := rc.Control(func(d uintptr) { fd, err = sys.DupCloexec(int(d)) })
	if err == nil {
		err = ctlErr
	}
	return fd, err
}

// newSocketConn makes a Conn that the caller has counted in Loop.sockets.
func newSocketConn(l *Loop, fd int, s *connSettings) *socketConn {
	c := new(socketConn)
	c.fd, c.tr = int32(fd), c
	c.init(l, s)
	c.own(c)
	return c
}

// attach takes over a descriptor that somebody else made. keep says that they
// go on using the open file.
func (s *socketConn) attach(fd int, keep bool) error {
	socket, err := sys.IsSocket(fd)
	if err != nil {
		return err
	}
	s.state = sockShared
	if err := prepare(fd, socket, keep); err != nil {
		return err
	}
	if socket {
		peer, _ := sys.PeerAddr(fd) // none before it is connected
		s.setPeer(peer.AddrPort())
	} else {
		s.state |= sockPlain
	}
	s.fd = int32(fd)
	return s.register()
}

// prepare makes fd non-blocking, unless that would be felt by others.
func prepare(fd int, socket, keepOpen bool) error {
	nonblock, err := sys.IsNonblock(fd)
	if err != nil || nonblock {
		return err
	}
	if regular, err := sys.IsRegular(fd); err != nil || regular {
		return err // files do not know the difference
	}
	if !socket && keepOpen {
		return errors.New("it is blocking and stays shared with others, who would feel O_NONBLOCK: set it yourself, or use Loop.Watch")
	}
	return sys.SetNonblock(fd, true)
}

// register has the poller watch the descriptor, for good. Room in a socket is not
// news at the start: watching for it would make an event of it for each new Conn.
func (s *socketConn) register() error {
	s.flags &^= flagRoom
	want := connInterest
	if s.state&sockPlain != 0 { // on kqueue only this tells a pipe that its reader is gone
		s.flags |= flagRoom
		want |= poll.Write
	}
	err := s.loop.poller.Add(int(s.fd), s.token(), want)
	if errors.Is(err, poll.ErrAlwaysReady) {
		s.state |= sockAlways | sockReadable | sockWritable
		return nil
	}
	if err == nil {
		s.state |= sockRegistered | sockWritable
	}
	return err
}

// ready is told by the poller that something began.
func (s *socketConn) ready(r poll.Ready) {
	if r&(poll.Readable|poll.PeerClosed|poll.Hangup|poll.Failed) != 0 {
		s.state |= sockReadable
	}
	if r&(poll.PeerClosed|poll.Hangup|poll.Failed) != 0 {
		s.state |= sockHungUp
	}
	if r&(poll.Writable|poll.Hangup|poll.Failed) != 0 {
		s.state |= sockWritable
	}
	if r&poll.Failed != 0 && s.state&sockPlain == 0 {
		// Taken once: whoever reads now meets the end of the stream.
		if err := sys.SocketError(int(s.fd)); err != nil {
			s.peerReset(os.NewSyscallError("read", err))
		}
	}
	if s.state&sockReadable != 0 {
		s.readTurn()
	}
	if s.flags&flagClosed != 0 || s.state&sockWritable == 0 {
		return
	}
	if s.rare != nil && s.rare.feeder != nil {
		s.rare.feeder.room()
	} else if s.out.Len() > 0 {
		s.flush()
	}
}

// fill reads once, into the memory that the Loop's Conns share.
func (s *socketConn) fill(max int) (int, error) {
	mem := s.loop.scratch.Bytes()
	if max < len(mem) {
		mem = mem[:max]
	}
	n, err := s.receive(mem)
	if n > 0 {
		s.in.AppendScratch(s.loop.scratch, n)
		// A short read has emptied the socket, and the next bytes are an
		// edge; but the end of the stream, once it has come, is not.
		if n < len(mem) && s.state&(sockHungUp|sockAlways) == 0 {
			s.state &^= sockReadable
		}
		return n, nil
	}
	if err == sys.ErrAgain && s.state&sockAlways == 0 {
		s.state &^= sockReadable
	}
	return 0, err
}

// receive and transmit are one call. What is no socket is a file to the kernel.
func (s *socketConn) receive(p []byte) (int, error) {
	if s.state&sockPlain != 0 {
		return s.loop.mode.Read(int(s.fd), p)
	}
	return s.loop.mode.Recv(int(s.fd), p)
}

func (s *socketConn) transmit(p []byte) (int, error) {
	if s.state&sockPlain != 0 {
		return s.loop.mode.Write(int(s.fd), p)
	}
	return s.loop.mode.Send(int(s.fd), p)
}

func (s *socketConn) drain(max int) (int, error) { return s.send(&s.out, max) }

// send writes once from the front of b and takes what went off: one segment by
// write, several by writev, a file range by sendfile.
func (s *socketConn) send(b *buffer.Buffer, max int) (n int, err error) {
	n, handled, err := s.sendFile(b, max)
	whole := n > 0
	if !handled {
		want := min(b.Len(), max)
		if p := b.Head(); len(p) < want {
			n, want, err = s.sendSegments(b, want)
		} else {
			n, err = s.transmit(p[:want])
		}
		whole = n == want
	}
	if n > 0 {
		b.DrainQuiet(n)
		if err == errAgain {
			err = nil
		}
	}
	if !whole && s.state&sockAlways == 0 && (err == nil || err == errAgain) {
		err = cmp.Or(s.full(), err)
	}
	return n, err
}

// full notes that a write found no more room. The first time, the poller is asked
// to watch for it; it reports room that is there already, so no edge is lost.
func (s *socketConn) full() error {
	s.state &^= sockWritable
	if s.flags&flagRoom != 0 {
		return nil
	}
	s.flags |= flagRoom
	return s.loop.poller.Modify(int(s.fd), s.token(), connInterest|poll.Write)
}

// sendSegments is send for bytes that do not lie in one piece. want is how
// many were offered.
func (s *socketConn) sendSegments(b *buffer.Buffer, max int) (n, want int, err error) {
	var extents [sys.MaxExtents][]byte
	v := extents[:b.PeekInto(extents[:], max)]
	if len(v) == 0 {
		// Bytes of a file that cannot be read: the file's error tells why.
		return 0, max, b.Load(max)
	}
	for _, p := range v {
		want += len(p)
	}
	n, err = s.loop.mode.Writev(int(s.fd), v)
	return n, want, err
}

// sendFile has the kernel send a range of an *os.File that lies first in b. It
// reports handled false for everything that it leaves to others.
func (s *socketConn) sendFile(b *buffer.Buffer, max int) (n int, handled bool, err error) {
	r, off, size, ok := b.HeadFile()
	if !ok || s.state&sockPlain != 0 {
		return 0, false, nil
	}
	f, ok := r.(*os.File)
	if !ok {
		return 0, false, nil
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return 0, true, err
	}
	ctlErr := rc.Control(func(fd uintptr) {
		n, handled, err = sys.Sendfile(int(s.fd), int(fd), off, min(size, max))
	})
	if ctlErr != nil {
		return 0, true, ctlErr
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the file ends before its range does
	}
	return n, handled, err
}

func (s *socketConn) more(dir Dir) bool {
	if dir == Reading {
		return s.state&sockReadable != 0
	}
	return s.state&sockWritable != 0 && s.out.Len() > 0
}

func (s *socketConn) flushNow(dir Dir, _ FlushMode) bool {
	before := s.moved.written
	if dir&Writing != 0 {
		s.flush()
	}
	return s.moved.written != before
}

func (s *socketConn) shut() error {
	if s.state&sockPlain != 0 {
		return errors.ErrUnsupported // a pipe has no half to shut
	}
	return sys.Shutdown(int(s.fd), sys.ShutWrite)
}

func (s *socketConn) release(abort bool) error {
	if s.flags&flagConnecting != 0 {
		s.rare.dial.end()
	}
	s.stopSplices()
	if s.disown() {
		s.left()
	}
	fd := int(s.fd)
	if fd < 0 {
		return nil
	}
	s.fd = -1
	keep := s.flags&flagKeepOpen != 0
	if s.state&sockRegistered != 0 && (keep || s.state&sockShared != 0) {
		// Its only failure is that the descriptor has left already.
		_ = s.loop.poller.Remove(fd)
	}
	if keep {
		return nil
	}
	// What the peer has reset needs no reset of ours.
	reset := s.rare != nil && errors.Is(s.rare.reset, syscall.ECONNRESET)
	if abort && !reset && s.state&sockPlain == 0 {
		_ = sys.SetLinger(fd, 0) // unix sockets have none, and no reset
	}
	return sys.Close(fd)
}

// shutdown closes the Conn with its Loop.
func (s *socketConn) shutdown() { s.close(false) }

func (s *socketConn) below() *Conn { return nil }

func (s *socketConn) descriptor() int { return int(s.fd) }

func (s *socketConn) localAddr() net.Addr {
	if s.fd < 0 || s.state&sockPlain != 0 {
		return nil
	}
	a, err := sys.LocalAddr(int(s.fd))
	if err != nil {
		return nil
	}
	return a.NetAddr()
}

func (s *socketConn) remoteAddr() net.Addr {
	if s.fd < 0 || s.state&sockPlain != 0 {
		return nil
	}
	a, err := sys.PeerAddr(int(s.fd))
	if err != nil {
		return nil
	}
	return a.NetAddr()
}

// SetFD replaces the Conn's descriptor by fd, which it takes ownership of
// (unless KeepOpen); -1 leaves it without one, and so does an error, with which
// fd is still the caller's. The old descriptor is not closed: it is the
// caller's again. Marks, callbacks, what is enabled and the
// bytes in Input and Output stay; an end of file or an error of the old
// descriptor is forgotten. Where writing goes on and Output is empty, one Write
// callback is owed, as by Enable. Only a Conn over a socket has a descriptor to
// replace; others return an error. Loop only.
//
// Libevent: bufferevent_setfd, and bufferevent_replacefd where the caller closes
// the old descriptor.
func (c *Conn) SetFD(fd int) error {
	c.loop.assertOwner("Conn.SetFD")
	s, ok := c.tr.(*socketConn)
	switch {
	case !ok:
		return errors.New("bev: SetFD: this kind of connection has no descriptor")
	case c.flags&flagClosed != 0:
		return errConnClosed
	case c.flags&flagConnecting != 0:
		return errors.New("bev: SetFD: the connection is being dialled; wait for EventConnected, or close it")
	}
	s.stopSplices() // what was on its way from or to the old descriptor
	if s.fd >= 0 && s.state&sockRegistered != 0 {
		_ = s.loop.poller.Remove(int(s.fd))
	}
	// Events of the old descriptor that are in this batch must not be taken
	// for the new one's.
	s.renew(s)
	s.fd, s.state = -1, 0
	c.noRead |= ReasonNoFD
	c.noWrite |= ReasonNoFD
	c.flags &^= flagFinSent | flagFinWanted
	if r := c.rare; r != nil {
		r.reset, r.write, r.told = nil, nil, false
	}
	c.noRead &^= ReasonEnded
	c.noWrite &^= ReasonEnded
	if fd < 0 {
		return nil
	}
	if err := s.attach(fd, s.flags&flagKeepOpen != 0); err != nil {
		s.fd, s.state = -1, 0
		return fmt.Errorf("bev: SetFD: descriptor %d: %w", fd, err)
	}
	c.resume(Both, ReasonNoFD)
	c.oweWrite()
	return nil
}
