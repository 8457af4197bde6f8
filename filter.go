package bev

import (
	"errors"
	"fmt"

	"github.com/bevgo/bev/buffer"
)

// A Filter transforms bytes on their way between a Conn made by [NewFilter]
// and the Conn under it. Both methods run on the loop, never one inside the
// other, and may do three things: take bytes from the front of what is to be
// transformed, append what comes of them, and append to the opposite direction
// (an answer of the protocol that the user need not see). They may take
// nothing, when they need more first.
//
// A nil return means: done, for now. An error ends that direction: io.EOF from
// In is a clean end of the stream inside (EventReading|EventEOF), anything
// else a failure (EventError with EventReading or EventWriting). What was
// appended before the error is delivered first.
//
// Libevent: bufferevent_filter_cb. Unlike libevent, an error is an event
// (issues 107, 172), and Finished is seen at the end of the stream.
type Filter interface {
	// In transforms what came from below. It runs when there is new input
	// below, room above, or mode is not FlushNormal. With FlushFinished no
	// more will come: what is held back, and what is wrong about the end
	// coming now, has to come out.
	In(s *FilterStreams, mode FlushMode) error

	// Out transforms what the user wrote. It runs when there is something
	// to transform and room below, or mode is not FlushNormal. With FlushAll
	// what is held back for a better result has to come out, with
	// FlushFinished the end of the stream, too.
	Out(s *FilterStreams, mode FlushMode) error
}

// FilterStreams are the four buffers that a [Filter] works on. They stay the
// same for the life of the Conn and belong to it.
type FilterStreams struct {
	FromBelow *buffer.Buffer // what the peer sent; In takes from it
	ToUser    *buffer.Buffer // Input of the filter's Conn; In appends to it
	FromUser  *buffer.Buffer // Output of the filter's Conn; Out takes from it
	ToBelow   *buffer.Buffer // Output of the Conn under it; Out appends to it

	// UserRoom and BelowRoom are how many bytes ToUser and ToBelow take
	// before they are at their high marks. A Filter that can stop there
	// should; one that goes a step beyond does no harm.
	UserRoom, BelowRoom int
}

// filterConn is a Conn over another one.
type filterConn struct {
	Conn
	under   *Conn // nil once let go
	filter  Filter
	streams FilterStreams

	fresh    bool  // In has not seen all that there is to see
	stuckAt  int   // length of Output that Out could do nothing with
	belowEnd error // why no more comes from below, nil while it may
	inEnd    error // why no more comes out of In, nil while it may
	outEnded bool  // Out has seen FlushFinished
}

// filterHighMark bounds what waits between two layers, where the options of
// the Conn under a filter say nothing. It is what one read brings.
const filterHighMark = 64 << 10

// NewFilter makes a Conn over under: what comes from under goes through f.In
// to the new Conn's Input, what is written to the new Conn through f.Out to
// under. A nil f changes nothing about the bytes. The new Conn is born with
// writing enabled and reading disabled.
//
// under is the filter's from now on: its callbacks are replaced, it reads when
// the filter does, and its events are passed on. Its read high mark, where none
// was chosen, becomes 64 KiB. Closing the filter's Conn sends what under still
// holds, and closes it, unless KeepOpen: then under is given back, without
// callbacks, reading disabled. A Conn is under one filter at a time; filters are
// stacked by giving NewFilter the Conn of another. Marks hold through the stack:
// a full Output below stops Out, a full Input above stops the reading below.
// Loop only.
//
// Libevent: bufferevent_filter_new. Unlike libevent, closing loses no output
// that was accepted (issue 616).
func NewFilter(under *Conn, f Filter, o *ConnOptions) (*Conn, error) {
	l := under.loop
	l.assertOwner("NewFilter")
	if !under.alive() {
		return nil, fmt.Errorf("bev: NewFilter: %w", errConnClosed)
	}
	if under.flags&flagFiltered != 0 {
		return nil, errors.New("bev: NewFilter: this Conn is under a filter already: put the next one over the Conn of that filter")
	}
	s, err := settings(o, under.flags&flagPause != 0)
	if err != nil {
		return nil, err
	}
	if f == nil {
		f = identity{}
	}
	c := &filterConn{under: under, filter: f, fresh: true}
	c.tr = c
	c.init(l, s)
	c.streams = FilterStreams{FromBelow: &under.in, ToUser: &c.in, FromUser: &c.out, ToBelow: &under.out}
	c.own(c)
	if under.flags&flagUnchosen != 0 {
		under.flags &^= flagUnchosen
		under.readMark.high = clamp32(max(filterHighMark, twice(int(under.readMark.low))))
	}
	// The layer above is what an Output that grows by reading has to stop.
	under.flags &^= flagPause
	under.cb = Callbacks{Read: c.underRead, Write: c.underWrite, Event: c.underEvent}
	under.readMark.low = 0
	if m := under.rules.writeMark; m.low == 0 {
		// Out should go on while the kernel still has something to send.
		under.setWriteMark(mark{low: m.high / 4, high: m.high})
	}
	under.flags |= flagFiltered
	under.suspend(Reading, ReasonFilter)
	under.resume(Both, ReasonDisabled)
	under.inputChanged()
	return &c.Conn, nil
}

// Underlying returns the Conn under a filter, nil if there is none. Loop only.
//
// Libevent: bufferevent_get_underlying.
func (c *Conn) Underlying() *Conn {
	c.loop.assertOwner("Conn.Underlying")
	return c.tr.below()
}

// identity is what a nil Filter stands for.
type identity struct{}

func (identity) In(s *FilterStreams, _ FlushMode) error {
	s.ToUser.Move(s.FromBelow, s.UserRoom)
	return nil
}

func (identity) Out(s *FilterStreams, _ FlushMode) error {
	s.ToBelow.Move(s.FromUser, s.BelowRoom)
	return nil
}
