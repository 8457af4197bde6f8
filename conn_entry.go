package bev

import (
	"fmt"
	"strings"
	"time"
)

// describe is the Conn as Loop.Entries shows it, whatever its transport.
func (c *Conn) describe(list []Entry) []Entry {
	e := Entry{Kind: "conn", What: c, FD: c.tr.descriptor(), Priority: c.Priority()}
	var notes []string
	if c.noRead == 0 {
		e.Dir |= Reading
	} else {
		notes = append(notes, fmt.Sprintf("not reading (%v)", c.noRead))
	}
	if c.noWrite == 0 {
		e.Dir |= Writing
	} else {
		notes = append(notes, fmt.Sprintf("not writing (%v)", c.noWrite))
	}
	if in, out := c.in.Len(), c.out.Len(); in+out > 0 {
		notes = append(notes, fmt.Sprintf("input %d output %d", in, out))
	}
	e.Note = strings.Join(notes, ", ")
	e.Added = true
	e.Active = c.flags&(flagAgain|flagDirty|flagDeferred) != 0
	if end := c.nextEnd(c.loop.clock()); end != never {
		e.Due = c.loop.base.Add(time.Duration(end))
	}
	return append(list, e)
}

// describe is the part of a Listener that belongs to this Loop.
func (a *acceptor) describe(list []Entry) []Entry {
	e := Entry{Kind: "listener", What: a.ln, FD: a.fd, Dir: Reading, Priority: a.ln.Priority()}
	e.Added, e.Active = true, a.queued
	if h := a.held(); h != 0 {
		e.Dir, e.Note = 0, fmt.Sprintf("held (%v)", h)
	}
	return append(list, e)
}
