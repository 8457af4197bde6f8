package bev

import (
	"io"

	"github.com/bevgo/bev/internal/sys"
)

// A splicer moves one direction of a relay inside the kernel: from the source
// socket to a pipe, from the pipe to the destination (splice(2)). It is worth
// its two calls for bulk only, so a relay begins by copying, goes over to a
// splicer after a few large reads, and comes back after a few small ones. The
// pipe holds what the destination does not take, at most as much as the relay's
// high mark allows.
type splicer struct {
	h     *relayHalf
	src   *socketConn
	dst   *socketConn
	pipe  pipe
	most  int  // bytes that the pipe may hold, at most pipeSize
	held  int  // bytes in the pipe
	small int  // small moves in a row
	eof   bool // only while the pipe is empty
}

// pipe is a kernel pipe that Loops keep for the next splicer.
type pipe struct{ r, w int }

const (
	spliceAfter = 4        // large reads in a row before splicing
	spliceBulk  = 32 << 10 // what large means
	spliceBack  = 16       // small moves in a row before copying again
	spliceTurn  = pipeSize // bytes in one turn, before others have theirs
	pipeSize    = 1 << 20  // what a pipe is made to hold: /proc/sys/fs/pipe-max-size
	pipeUsual   = 64 << 10 // what pipes hold by themselves
	pipesKept   = 8        // by a Loop, of the 64 MiB that a user's pipes may hold
)

// considerSplice counts large reads, and begins to splice when there were
// enough and nothing looks at the bytes.
func (h *relayHalf) considerSplice(n int) {
	if !h.r.splice || n < spliceBulk || h.r.high < spliceBulk {
		h.bulk = 0
		return
	}
	if h.bulk++; h.bulk < spliceAfter {
		return
	}
	h.bulk = 0
	src, ok1 := h.src.tr.(*socketConn)
	dst, ok2 := h.dst.tr.(*socketConn)
	if !ok1 || !ok2 || !src.splices() || !dst.splices() || dst.out.Len() > 0 || dst.noWrite != 0 {
		return
	}
	p, err := h.src.loop.takePipe()
	if err != nil {
		h.r.splice = false // no pipes to be had: copying does it, too
		return
	}
	h.splicer = &splicer{h: h, src: src, dst: dst, pipe: p, most: min(h.r.high, pipeSize)}
	src.flags |= flagSplice
	src.ensureRare().splicer = h.splicer
	dst.ensureRare().feeder = h.splicer
}

// splices reports whether nobody has to see the bytes of the socket.
func (s *socketConn) splices() bool {
	return s.state&(sockPlain|sockAlways) == 0 && s.rate() == nil
}

// turn is the source's turn of reading.
func (p *splicer) turn() {
	for moved := 0; moved < spliceTurn; {
		n, again, ok := p.step()
		if !ok {
			return
		}
		moved += n
		if again {
			break
		}
	}
	if p.src.noRead == 0 && p.src.more(Reading) {
		p.src.queueAgain()
	}
}

// step fills the pipe once, if it is empty, and empties it once. again says
// that one side can do no more now; ok is false when the splicer is over.
//
// Filling up a pipe that the destination has not emptied makes many small moves
// of a few large ones: with 16 streams that cost an eighth more.
func (p *splicer) step() (n int, again, ok bool) {
	if p.held == 0 {
		if n, again, ok = p.fill(); !ok {
			return n, again, ok
		}
	}
	if p.held > 0 {
		full, ok := p.empty()
		if !ok {
			return n, again, false
		}
		again = again || full
	}
	switch {
	case p.held > 0:
	case p.eof:
		p.stop()
		p.src.readStopped(io.EOF)
		return n, true, false
	case p.small >= spliceBack:
		p.stop()
		return n, true, p.src.queueTurn()
	}
	return n, again, true
}

// queueTurn has the source read by copying, in its next turn.
func (s *socketConn) queueTurn() bool {
	s.queueAgain()
	return false
}

// fill moves from the source to the pipe, which is empty.
func (p *splicer) fill() (n int, again, ok bool) {
	n, handled, err := p.src.loop.mode.Splice(p.pipe.w, int(p.src.fd), p.most)
	switch {
	case !handled:
		p.h.r.splice = false
		p.stop()
		return 0, true, p.src.queueTurn()
	case err == sys.ErrAgain:
		p.src.state &^= sockReadable // the pipe is empty, so that cannot be why
		return 0, true, true
	case err == io.EOF:
		p.eof = true
		return 0, false, true
	case err != nil:
		p.stop()
		p.src.readStopped(err)
		return 0, true, false
	}
	p.held += n
	p.src.account(n)
	if n < spliceBulk/2 {
		p.small++
	} else {
		p.small = 0
	}
	return n, false, true
}

// empty moves from the pipe to the destination.
func (p *splicer) empty() (full, ok bool) {
	n, handled, err := p.src.loop.mode.Splice(int(p.dst.fd), p.pipe.r, p.held)
	switch {
	case !handled:
		p.h.r.splice = false
		p.stop()
		return true, p.src.queueTurn()
	case err == sys.ErrAgain:
		if err = p.dst.full(); err == nil {
			p.src.suspend(Reading, ReasonRelay)
			p.dst.startWriteClock()
			return true, true
		}
	}
	if err != nil {
		p.stop()
		p.dst.writeFailed(err)
		return true, false
	}
	p.held -= n
	p.dst.accountSent(n)
	p.h.moved += uint64(n)
	p.h.spliced += uint64(n)
	if p.held == 0 {
		p.dst.flags &^= flagWriteClock
	}
	return false, true
}

// room is told that the destination takes bytes again.
func (p *splicer) room() {
	if p.held > 0 {
		full, ok := p.empty()
		if !ok || full {
			return
		}
	}
	if p.src.noRead == 0 {
		p.turn()
		return
	}
	p.src.resume(Reading, ReasonRelay)
}

// stop ends the splicing. What the pipe holds goes to Output, so that nothing
// is lost and nothing changes places.
func (p *splicer) stop() {
	p.src.flags &^= flagSplice
	p.src.rare.splicer = nil
	p.dst.rare.feeder = nil
	p.h.splicer = nil
	for p.held > 0 && p.dst.flags&flagClosed == 0 {
		room := p.dst.out.Reserve(min(p.held, pipeSize))
		n, err := sys.Polite.Read(p.pipe.r, room[:min(len(room), p.held)])
		if err != nil {
			break // a pipe of ours, with bytes in it: cannot be
		}
		p.dst.out.Commit(n)
		p.h.moved += uint64(n)
		p.held -= n
	}
	if p.held == 0 {
		p.src.loop.givePipe(p.pipe)
	} else {
		p.pipe.close()
	}
	if p.src.noRead&ReasonRelay != 0 && p.dst.out.Len() < p.h.r.high {
		p.src.resume(Reading, ReasonRelay)
	}
}

// stopSplice ends the splicing of a direction, if it is going on.
func (h *relayHalf) stopSplice() {
	if h.splicer != nil {
		h.splicer.stop()
	}
}

// stopSplices gives back the pipes that a socket has a part in, whoever it is
// that closes it.
func (s *socketConn) stopSplices() {
	if r := s.rare; r != nil {
		for _, p := range []*splicer{r.splicer, r.feeder} {
			if p != nil {
				p.stop()
			}
		}
	}
}

// takePipe returns a pipe that is empty.
func (l *Loop) takePipe() (pipe, error) {
	if n := len(l.pipes); n > 0 {
		p := l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		return p, nil
	}
	r, w, err := sys.Pipe()
	if err != nil {
		return pipe{}, err
	}
	p := pipe{r, w}
	// The kernel may refuse a large pipe to a user who has many, and none is as
	// large as some: smaller ones work as well, with more calls. But then it
	// soon gives pipes of two pages, which cost more than copying. Source:
	// pipe(7), pipe-user-pages-soft and pipe-max-size.
	for size := pipeSize; size >= pipeUsual; size /= 2 {
		if _, err = sys.SetPipeSize(w, size); err == nil {
			return p, nil
		}
	}
	p.close()
	return pipe{}, err
}

// givePipe keeps an empty pipe for the next one who needs it.
func (l *Loop) givePipe(p pipe) {
	if len(l.pipes) >= pipesKept {
		p.close()
		return
	}
	l.pipes = append(l.pipes, p)
}

func (p pipe) close() {
	_ = sys.Close(p.r)
	_ = sys.Close(p.w)
}

// closePipes is for a Loop that closes.
func (l *Loop) closePipes() {
	for _, p := range l.pipes {
		p.close()
	}
	l.pipes = nil
}
