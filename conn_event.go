package bev

import (
	"errors"
	"strings"
)

// Dir is one direction of a [Conn], or both.
//
// Libevent: EV_READ, EV_WRITE.
type Dir uint8

const (
	Reading Dir                 = 1 << iota // from the peer into Input
	Writing                                 // from Output to the peer
	Both    = Reading | Writing             // each of the two
)

// String gives "reading", "writing", "reading|writing" or "none".
func (d Dir) String() string {
	return joinBits(uint(d), []string{"reading", "writing"})
}

// Event says where something happened to a [Conn] and what it was. The error
// beside it says why. The values are libevent's.
//
// Libevent: BEV_EVENT_READING and its kin.
type Event uint16

const (
	EventReading   Event = 0x01 // while reading
	EventWriting   Event = 0x02 // while writing
	EventEOF       Event = 0x10 // the peer sends no more; the error is io.EOF
	EventError     Event = 0x20 // the error says which
	EventTimeout   Event = 0x40 // the error is os.ErrDeadlineExceeded
	EventConnected Event = 0x80 // Dial has succeeded; the error is nil
)

// String gives the bits by name: "reading|eof".
func (e Event) String() string {
	return joinBits(uint(e), []string{"reading", "writing", "0x4", "0x8", "eof", "error", "timeout", "connected"})
}

func joinBits(bits uint, names []string) string {
	var set []string
	for i, name := range names {
		if bits&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	if set == nil {
		return "none"
	}
	return strings.Join(set, "|")
}

// Callbacks are what a [Conn] tells its user. Each may be nil. All run on the
// loop, one at a time, never from inside the call that caused them, and none
// after Close or CloseAfterFlush. A callback may call anything on its own
// Conn and on others of the same Loop, Close included.
//
// Order: where several are due, connected comes first, then Read, then Write,
// then the other events in one call.
//
// Libevent: bufferevent_data_cb, bufferevent_event_cb.
type Callbacks struct {
	// Read runs after each read that leaves at least the low mark in Input.
	// It does not run again for bytes that it left there.
	Read func(c *Conn)

	// Write runs after each write that leaves at most the low mark in
	// Output, and once after an Enable(Writing) that finds Output empty.
	Write func(c *Conn)

	// Event runs once for each thing that ends or changes the Conn. Without
	// it an EOF means CloseAfterFlush, an error or a timeout means Close, so
	// that a Conn which nobody watches is not a leak.
	Event func(c *Conn, what Event, err error)
}

// pending callbacks, due from the loop's queue.
type pending uint8

const (
	pendRead pending = 1 << iota
	pendWrite
	pendEvent
	pendForce // run Read and Write whatever the marks say
)

// rareState holds what most Conns never need: those that are reached from
// other goroutines do, and those that come, go or are in trouble.
type rareState struct {
	handle   *handle  // what its Handles share, nil until somebody asked for one
	view     *netConn // what NetConn returned
	dial     *dialing
	redial   *Redialer // that dialled it, to be told when it is closed
	splicer  *splicer  // takes the bytes of this socket in the kernel, see relay_splice.go
	feeder   *splicer  // brings such bytes
	relay    *Relaying // that it is an end of
	rate     *connRate // rate limits, nil for none
	deadline int64     // end of a linger, 0 for none

	readOver, writtenOver uint32 // see traffic

	zone string // of a link-local peer, see Conn.setPeer

	what  Event // event bits not told yet
	err   error // why, of those bits
	reset error // what the kernel said when the peer reset the connection
	write error // a failed write, untold while there may be bytes to read
	told  bool  // the failure was told: its echoes from elsewhere are not
}

func (c *Conn) ensureRare() *rareState {
	if c.rare == nil {
		c.rare = new(rareState)
	}
	return c.rare
}

// enter and leave bracket every callback of a Conn. In between, what the user
// does to this Conn takes effect at leave. The callbacks of a Conn may run
// inside those of the Conn under it, which is what outer is for.
func (c *Conn) enter() (outer victim) {
	outer = c.loop.current
	c.flags |= flagBusy
	c.loop.current = c
	return outer
}

// leave sends what the callback wrote, straight from the loop's read memory
// where the bytes still lie there, and moves what is left out of that memory.
func (c *Conn) leave(outer victim) {
	c.flags &^= flagBusy
	c.loop.current = outer
	if c.flags&flagClosed != 0 {
		return
	}
	if c.out.Len() > 0 || c.flags&flagFinWanted != 0 {
		c.flush()
	}
	c.settle()
}

// settle ends this Conn's use of the loop's read memory.
func (c *Conn) settle() {
	c.forget()
	if c.loop.scratch.Lent() {
		c.in.Settle()
		c.out.Settle()
		if c.flags&flagFiles != 0 {
			c.loop.budget.recount(c)
		}
	}
}

// forget takes from an Input that was read to its end what ReadByte has left
// there for UnreadByte: an idle Conn holds nothing.
func (c *Conn) forget() {
	if c.in.Len() == 0 {
		c.in.Settle()
	}
}

// panicked ends a Conn whose callback panicked: the Event callback is told,
// from the loop's queue, then the Conn is closed. It is closed at once where
// there is nobody to tell, or the Event callback it is that panicked.
func (c *Conn) panicked(p *PanicError) {
	for b := c; b != nil; b = b.tr.below() {
		b.flags &^= flagBusy // its callback was cut short together with c's
		b.settle()
	}
	if c.flags&flagConnecting != 0 {
		c.rare.dial.end()
	}
	if c.cb.Event == nil || c.flags&(flagClosed|flagLinger|flagTelling|flagDoomed) != 0 {
		c.close(true)
		return
	}
	c.flags |= flagDoomed
	c.suspend(Both, ReasonEnded|ReasonDisabled)
	c.pend &= pendEvent
	r := c.ensureRare()
	r.told, r.write = true, nil // nothing that happens to it now is news
	c.postponeEvent(EventError, p)
	c.loop.guard(c.endWriting)
}

// dueRead runs the Read callback, now or from the queue.
func (c *Conn) dueRead() {
	if c.flags&flagDefer != 0 {
		c.settle()
		c.postpone(pendRead)
		return
	}
	c.callRead()
}

func (c *Conn) callRead() {
	if c.cb.Read != nil {
		outer := c.enter()
		c.cb.Read(c)
		c.leave(outer)
	}
	c.checkInputLimit()
}

// dueWrite runs the Write callback, now or from the queue.
func (c *Conn) dueWrite() {
	if c.flags&flagDefer != 0 || c.flags&flagBusy != 0 {
		c.postpone(pendWrite)
		return
	}
	c.callWrite()
}

func (c *Conn) callWrite() {
	c.pend &^= pendWrite // one call answers an Enable and a write alike
	if c.cb.Write == nil {
		return
	}
	// What the callback writes is sent by the loop at the end of the tick,
	// not from here: a callback that always has more must not keep others
	// from their turn.
	outer := c.enter()
	c.cb.Write(c)
	c.flags &^= flagBusy
	c.loop.current = outer
	c.forget()
	if c.flags&flagClosed == 0 && (c.out.Len() > 0 || c.flags&flagFinWanted != 0) {
		c.queueDirty()
	}
}

// dueEvent tells an event that the loop found, now or from the queue.
func (c *Conn) dueEvent(what Event, err error) {
	// What is due comes before what is new: an end of file must not overtake
	// the Write callback that an Enable is owed.
	if c.flags&(flagDefer|flagBusy) != 0 || c.pend != 0 {
		c.postponeEvent(what, err)
		return
	}
	c.callEvent(what, err)
}

func (c *Conn) callEvent(what Event, err error) {
	switch {
	case c.flags&(flagClosed|flagLinger) != 0:
	case c.cb.Event != nil:
		outer := c.enter()
		c.flags |= flagTelling
		c.cb.Event(c, what, err)
		c.flags &^= flagTelling
		c.leave(outer)
		if c.flags&flagDoomed != 0 {
			c.close(true)
		}
	case what&(EventError|EventTimeout) != 0:
		c.close(true)
	case what&EventEOF != 0:
		c.CloseAfterFlush(0)
	}
}

// postpone puts callbacks on the loop's queue.
func (c *Conn) postpone(p pending) {
	c.pend |= p
	if c.flags&flagDeferred == 0 {
		c.flags |= flagDeferred
		c.loop.work.deferred.add(c)
	}
}

// postponeEvent adds to the one event call that is due. Two failures that
// meet there are joined.
func (c *Conn) postponeEvent(what Event, err error) {
	f := c.ensureRare()
	f.what |= what
	switch {
	case f.err == nil:
		f.err = err
	case err != nil:
		f.err = errors.Join(f.err, err)
	}
	c.postpone(pendEvent)
}

// runDeferred runs what is due: connected, read, write, the rest. Each may
// close the Conn, which clears what is still due, or change its callbacks.
func (c *Conn) runDeferred() {
	c.flags &^= flagDeferred
	p := c.pend
	c.pend = 0
	force := p&pendForce != 0
	if p&pendEvent != 0 && c.rare.what&EventConnected != 0 {
		c.rare.what &^= EventConnected
		c.callEvent(EventConnected, nil)
	}
	if p&pendRead != 0 && c.alive() && (force || c.readMark.allows(c.in.Len())) {
		c.callRead()
	}
	if p&pendWrite != 0 && c.alive() && (force || c.rules.writeMark.permits(c.out.Len())) {
		c.callWrite()
	}
	if p&pendEvent != 0 && c.alive() && c.rare.what != 0 {
		what, err := c.rare.what, c.rare.err
		c.rare.what, c.rare.err = 0, nil
		c.callEvent(what, err)
	}
}

// alive reports whether callbacks may still run.
func (c *Conn) alive() bool { return c.flags&(flagClosed|flagLinger) == 0 }

// Trigger runs the callbacks of dir as if bytes had moved, if the low marks
// allow it, from the loop's queue. Loop only.
//
// Libevent: bufferevent_trigger. Unlike libevent, never from inside the call.
func (c *Conn) Trigger(dir Dir, flags TriggerFlags) {
	c.loop.assertOwner("Conn.Trigger")
	if !c.alive() {
		return
	}
	var p pending
	if flags&TriggerIgnoreWatermarks != 0 {
		p |= pendForce
	}
	if dir&Reading != 0 && (p != 0 || c.readMark.allows(c.in.Len())) {
		p |= pendRead
	}
	if dir&Writing != 0 && (p&pendForce != 0 || c.rules.writeMark.permits(c.out.Len())) {
		p |= pendWrite
	}
	if p&(pendRead|pendWrite) != 0 {
		c.postpone(p)
	}
}

// TriggerFlags modify [Conn.Trigger].
type TriggerFlags uint8

// TriggerIgnoreWatermarks runs the callbacks whatever the low marks say.
//
// Libevent: BEV_TRIG_IGNORE_WATERMARKS.
const TriggerIgnoreWatermarks TriggerFlags = 1

// TriggerEvent runs the Event callback with what and err, from the loop's
// queue. Nothing else happens to the Conn, unless it has no Event callback:
// then what is handled as the real thing would be. Loop only.
//
// Libevent: bufferevent_trigger_event.
func (c *Conn) TriggerEvent(what Event, err error) {
	c.loop.assertOwner("Conn.TriggerEvent")
	if what != 0 && c.alive() {
		c.postponeEvent(what, err)
	}
}
