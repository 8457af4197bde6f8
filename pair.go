package bev

import (
	"io"
	"net"
	"os"
	"syscall"

	"github.com/bevgo/bev/internal/poll"
)

// pairConn is one end of a pair: a Conn whose peer is another Conn of the same
// Loop. It needs no kernel. The end that reads takes from the other's Output,
// whole segments at a time, in its own turn and within its own marks; so bytes
// that nobody reads stay where they are written, and the writer's marks and
// limits see them.
type pairConn struct {
	Conn
	partner *pairConn // nil once that end is closed
	taken   int       // bytes that the partner took, not accounted for yet

	offered  bool // the partner knows that there is something to take
	finished bool // no more comes: CloseWrite, or Flush with FlushFinished
	ended    error
}

// Pair makes two Conns that are connected to each other in memory: what one
// writes the other reads. Marks, timeouts, half-close and the rest are those
// of sockets, so that code for sockets can be tried on it; closing one end is
// the end of file at the other, and Abort a reset. Both ends are born with
// writing enabled and reading disabled. o applies to both. Loop only.
//
// Libevent: bufferevent_pair_new. Unlike libevent, closing one end is noticed
// at the other (issue 93).
func Pair(l *Loop, o *ConnOptions) (a, b *Conn, err error) {
	l.assertOwner("Pair")
	s, err := settings(o, false)
	if err != nil {
		return nil, nil, err
	}
	p, q := new(pairConn), new(pairConn)
	p.partner, q.partner = q, p
	for _, end := range []*pairConn{p, q} {
		end.tr = end
		end.init(l, s)
		end.own(end)
	}
	return &p.Conn, &q.Conn, nil
}

// Partner returns the other end of a pair, nil if the Conn is not an end of
// one or the other end is closed. Loop only.
//
// Libevent: bufferevent_pair_get_partner.
func (c *Conn) Partner() *Conn {
	c.loop.assertOwner("Conn.Partner")
	if p, ok := c.tr.(*pairConn); ok && p.partner != nil {
		return &p.partner.Conn
	}
	return nil
}

// fill takes from the partner's Output.
func (p *pairConn) fill(max int) (int, error) {
	q := p.partner
	if p.ended != nil || q == nil {
		return 0, p.endError()
	}
	switch {
	case q.finished:
	case q.noWrite != 0:
		max = 0
	default:
		// The writer's limits are those of its turn, too. What was taken
		// before its turn is charged in it.
		room := q.writeBudget()
		if room == 0 {
			q.starved(Writing)
		}
		max = min(max, room-q.taken)
	}
	if max > 0 {
		if n := p.take(max); n > 0 {
			return n, nil
		}
	}
	if q.finished && q.out.Len() == 0 {
		p.ended = io.EOF
		return 0, io.EOF
	}
	return 0, errAgain
}

// take moves up to max bytes and lets the partner account for them later.
func (p *pairConn) take(max int) int {
	q := p.partner
	n := p.in.Move(&q.out, max)
	if n > 0 {
		q.taken += n
		q.offered = q.out.Len() > 0
		q.queueDirty()
	}
	return n
}

func (p *pairConn) endError() error {
	if p.ended == nil {
		p.ended = io.EOF
	}
	return p.ended
}

// drain offers Output to the partner, and reports what the partner took since.
func (p *pairConn) drain(int) (int, error) {
	if p.partner == nil && p.out.Len() > 0 {
		return 0, os.NewSyscallError("write", syscall.EPIPE)
	}
	if p.out.Len() > 0 {
		p.offered = true
		p.partner.nudge()
	}
	n := p.taken
	p.taken = 0
	if n == 0 {
		return 0, errAgain
	}
	return n, nil
}

// nudge gives this end a turn of reading.
func (p *pairConn) nudge() {
	if p != nil && p.noRead == 0 {
		p.queueAgain()
	}
}

// idle reports whether this end could read and has no turn coming: it gave up
// while the other end was not writing.
func (p *pairConn) idle() bool { return p.noRead == 0 && p.flags&flagAgain == 0 }

func (p *pairConn) more(dir Dir) bool {
	q := p.partner
	if dir == Writing {
		return p.taken > 0 || p.out.Len() > 0 && (!p.offered || q == nil || q.idle())
	}
	switch {
	case p.noRead&ReasonEnded != 0:
		return false
	case q == nil || p.ended != nil:
		return true
	}
	return q.out.Len() > 0 && q.noWrite == 0 || q.finished
}

// shut runs when Output is empty: the partner has taken all.
func (p *pairConn) shut() error {
	p.finished = true
	p.partner.nudge()
	return nil
}

func (p *pairConn) flushNow(dir Dir, mode FlushMode) bool {
	q := p.partner
	if mode == FlushNormal || q == nil {
		return false
	}
	moved := false
	if dir&Writing != 0 {
		moved = q.takeAll(mode)
	}
	if dir&Reading != 0 {
		moved = p.takeAll(mode) || moved
	}
	return moved
}

// takeAll is a flush towards p: whatever the marks say, and whether or not the
// directions are enabled.
func (p *pairConn) takeAll(mode FlushMode) bool {
	q := p.partner
	n := p.take(q.out.Len())
	if n > 0 {
		p.account(n)
		if p.readMark.allows(p.in.Len()) {
			p.postpone(pendRead)
		}
	}
	if mode == FlushFinished {
		q.finished = true
		p.nudge()
	}
	return n > 0
}

func (p *pairConn) release(abort bool) error {
	p.disown()
	q := p.partner
	if q == nil {
		return nil
	}
	p.partner, q.partner = nil, nil
	if abort {
		q.ended = os.NewSyscallError("read", syscall.ECONNRESET)
		q.peerReset(q.ended)
	}
	q.nudge()
	if q.out.Len() > 0 && q.flags&flagClosed == 0 {
		q.queueDirty() // to find out that nobody takes it any more
	}
	return nil
}

// ready is never called: the kernel does not know the token.
func (p *pairConn) ready(poll.Ready) {}

// shutdown closes the end with its Loop.
func (p *pairConn) shutdown() { p.close(false) }

func (p *pairConn) below() *Conn { return nil }

func (p *pairConn) descriptor() int { return -1 }

func (p *pairConn) localAddr() net.Addr  { return pairAddr{} }
func (p *pairConn) remoteAddr() net.Addr { return pairAddr{} }

// pairAddr is the address of both ends of every pair.
type pairAddr struct{}

func (pairAddr) Network() string { return "pair" }
func (pairAddr) String() string  { return "pair" }
