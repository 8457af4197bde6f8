package bev

import (
	"fmt"
	"math"
)

// Watermark is a pair of marks on a buffer, in bytes.
type Watermark struct {
	// Low is what a callback waits for: at least so much in Input, at most so
	// much in Output. High is where filling stops; 0 means nowhere.
	Low, High int
}

// mark is a Watermark as a Conn stores it, in 32 bits: a million idle Conns
// hold two million of them. A high of 0 is none.
type mark struct {
	low, high int32
}

// allows reports whether n bytes are enough for a callback that waits for
// input; permits, whether they are few enough for one that waits for output.
func (m mark) allows(n int) bool  { return n >= int(m.low) }
func (m mark) permits(n int) bool { return n <= int(m.low) }

// full reports whether n bytes reach the high mark.
func (m mark) full(n int) bool { return m.high > 0 && n >= int(m.high) }

// SetWatermark sets the marks of dir, one of Reading and Writing, or of both.
// A High of 0 means none. Marks that are negative, or Low > High > 0, are an
// error and change nothing.
//
// Reading: the Read callback runs when a read leaves at least Low bytes in
// Input, and again whenever bytes arrive while it still does; it does not run
// for bytes that were left behind. Reading stops at High and goes on once
// Input is below it; the bytes that are still in the kernel come then. With a
// High of your own that is quiet back-pressure, in place of ErrInputFull.
//
// Writing: the Write callback runs after a write that leaves at most Low bytes
// in Output. High binds the reading of a Conn that pauses on output, see
// ConnOptions.PauseReadOnOutput; it does not bind Write, see OutputLimit.
//
// Lowering High below what Input holds suspends reading. Never runs
// callbacks. Loop only.
//
// Libevent: bufferevent_setwatermark. Unlike libevent, Input left at its high
// mark costs no wake-ups (libevent issue 891), and a write high mark binds
// sockets too (694, 1211, 1466).
func (c *Conn) SetWatermark(dir Dir, w Watermark) error {
	c.loop.assertOwner("Conn.SetWatermark")
	m, err := newMark(dir, w)
	if err != nil {
		return err
	}
	if dir&Reading != 0 {
		c.readMark = m
		c.flags &^= flagUnchosen
		c.inputChanged()
	}
	if dir&Writing != 0 {
		c.setWriteMark(m)
		c.outputFell()
		c.checkOutputMark()
	}
	return nil
}

// Watermark returns the marks of dir, one of Reading and Writing. Loop only.
//
// Libevent: bufferevent_getwatermark.
func (c *Conn) Watermark(dir Dir) Watermark {
	c.loop.assertOwner("Conn.Watermark")
	m := c.readMark
	if dir == Writing {
		m = c.rules.writeMark
	}
	return Watermark{Low: int(m.low), High: int(m.high)}
}

func (c *Conn) setWriteMark(m mark) {
	r := *c.rules
	r.writeMark = m
	c.setRules(r)
}

func newMark(dir Dir, w Watermark) (mark, error) {
	if w.Low < 0 || w.High < 0 {
		return mark{}, fmt.Errorf("bev: %v watermark %d to %d: a mark cannot be negative", dir, w.Low, w.High)
	}
	if w.High > 0 && w.Low > w.High {
		return mark{}, fmt.Errorf("bev: %v watermark: low %d is above high %d, so that the callback could never run", dir, w.Low, w.High)
	}
	return mark{low: clamp32(w.Low), high: clamp32(w.High)}, nil
}

// setMarks fills in the marks of options, where 0 is the default and negative
// is none.
func (s *connSettings) setMarks(o *ConnOptions) (err error) {
	rw, ww := o.ReadWatermark, o.WriteWatermark
	if rw.High == 0 {
		// A limit that nobody chose must not make a chosen low mark
		// impossible to reach.
		rw.High = max(DefaultInputLimit, twice(rw.Low))
		s.flags |= flagUnchosen
	}
	if ww.High == 0 {
		ww.High = max(DefaultOutputHigh, twice(ww.Low))
	}
	rw.High, ww.High = max(rw.High, 0), max(ww.High, 0)
	if s.read, err = newMark(Reading, rw); err != nil {
		return err
	}
	s.rules.writeMark, err = newMark(Writing, ww)
	return err
}

// twice is 2n, or as much of it as an int holds: a low mark may be any number,
// and half of the largest is one gigabyte where an int has 32 bits.
func twice(n int) int {
	if n > math.MaxInt/2 {
		return math.MaxInt
	}
	return 2 * n
}

// inputChanged suspends or resumes reading for the high mark.
func (c *Conn) inputChanged() {
	full := c.readMark.full(c.in.Len())
	switch {
	case full:
		c.suspend(Reading, ReasonHighMark)
	case c.noRead&ReasonHighMark != 0:
		c.resume(Reading, ReasonHighMark)
	}
}

// checkInputLimit ends the wait of an Input that is full because of a limit
// that nobody chose, and that nobody is going to drain: a silent stall would
// be worse than an error.
func (c *Conn) checkInputLimit() {
	const stopped = ReasonDisabled | ReasonEnded
	if c.flags&flagUnchosen == 0 || c.noRead&ReasonHighMark == 0 || c.noRead&stopped != 0 || !c.alive() {
		return
	}
	c.suspend(Reading, ReasonDisabled)
	c.dueEvent(EventError|EventReading, ErrInputFull)
}

// checkOutputMark suspends reading while Output is at its high mark, so that
// a peer who sends and does not read is not served out of memory.
func (c *Conn) checkOutputMark() {
	if c.flags&flagPause != 0 && c.flags&flagLinger == 0 && c.rules.writeMark.full(c.out.Len()) {
		c.noRead |= ReasonOutputFull
	}
}

// outputFell resumes reading once Output is low enough. The distance to the
// high mark keeps a Conn from stopping and starting with every write.
func (c *Conn) outputFell() {
	if c.noRead&ReasonOutputFull == 0 {
		return
	}
	low := int(c.rules.writeMark.low)
	if low == 0 {
		low = int(c.rules.writeMark.high) / 4
	}
	if c.rules.writeMark.high == 0 || c.out.Len() <= low {
		c.resume(Reading, ReasonOutputFull)
	}
}
