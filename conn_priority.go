package bev

// SetPriority gives the Conn another priority: 0 is the most urgent, and a Conn
// is born with half of [Loop.Priorities]. In each tick the Loop serves those of
// one priority, and before it comes to the next it asks the kernel whether
// something more urgent is ready. So a Conn waits for as long as others of
// lower number are busy. What has become ready already keeps the turn that it
// has. The Conns under a filter have priorities of their own. It panics on a
// number that the Loop does not have. Loop only.
//
// Libevent: bufferevent_priority_set.
func (c *Conn) SetPriority(p int) {
	c.loop.assertOwner("Conn.SetPriority")
	r := *c.rules
	r.prio = int16(c.loop.checkPriority("Conn.SetPriority", p)) - int16(c.loop.agenda.middle)
	c.setRules(r)
}

// Priority returns what SetPriority set. Loop only.
//
// Libevent: bufferevent_get_priority.
func (c *Conn) Priority() int {
	c.loop.assertOwner("Conn.Priority")
	return int(c.class())
}

func (c *Conn) class() uint8 { return uint8(int16(c.loop.agenda.middle) + c.rules.prio) }

// class of a Handle's calls is that of its Conn.
func (s *handle) class() uint8 {
	if s.conn == nil {
		return s.loop.agenda.middle
	}
	return s.conn.class()
}

// class of an attempt, and of all that a Dial waits for, is that of its Conn.
func (a *attempt) class() uint8 { return a.d.class() }
func (d *dialing) class() uint8 { return d.c.class() }

// SetPriority gives the Listener another priority, see [Conn.SetPriority]; of a
// group's, on each of its Loops. The Conns that it accepts are born with that of
// every Conn. Safe from any goroutine.
//
// Libevent: event_priority_set.
func (ln *Listener) SetPriority(p int) {
	ln.prio.Store(uint32(ln.Loop().checkPriority("Listener.SetPriority", p)))
}

// Priority returns what SetPriority set. Safe from any goroutine.
//
// Libevent: event_get_priority.
func (ln *Listener) Priority() int { return int(ln.prio.Load()) }

func (a *acceptor) class() uint8 { return uint8(a.ln.prio.Load()) }
