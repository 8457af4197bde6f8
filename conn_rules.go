package bev

import "math"

// connRules are what governs a Conn and hardly ever changes once it is set.
// Conns that are born alike share one copy, so that each of ten thousand idle
// ones pays a pointer for them; nobody writes to a copy, and who changes a rule
// gets another one, see ruleBook. Counts are bytes; a limit or high mark of 0 is
// none.
type connRules struct {
	writeMark         mark
	outputLimit       int32
	maxRead, maxWrite int32
	timeouts          timeouts
	from              *Listener // that accepted the Conn, nil for none
	prio              int16     // see SetPriority; less that of every Conn
}

// setRules gives the Conn other rules.
func (c *Conn) setRules(r connRules) { c.rules = c.loop.rules.share(&r) }

// A ruleBook finds the copy that Conns of one Loop with the same rules share.
// It knows the last few that were asked for: programs have few, and a copy too
// many costs memory and nothing else.
type ruleBook struct {
	known [8]*connRules
	next  int // the one that is forgotten next
}

// share returns the copy for those who have the rules r. Loop only.
func (b *ruleBook) share(r *connRules) *connRules {
	for _, k := range b.known {
		if k != nil && *k == *r {
			return k
		}
	}
	k := new(connRules)
	*k = *r
	b.known[b.next] = k
	b.next = (b.next + 1) % len(b.known)
	return k
}

// connSettings are ConnOptions, checked and ready for the Conns that are made
// with them.
type connSettings struct {
	rules  connRules
	read   mark
	flags  connFlags
	socket socketOptions
}

// settings checks o and fills in the defaults. pause says whether reading
// waits for Output unless the options say otherwise.
func settings(o *ConnOptions, pause bool) (*connSettings, error) {
	var z ConnOptions
	if o != nil {
		z = *o
	}
	s := &connSettings{
		rules: connRules{
			maxRead:  maxSingle(z.MaxSingleRead, DefaultMaxSingleRead),
			maxWrite: maxSingle(z.MaxSingleWrite, math.MaxInt32),
			timeouts: timeouts{read: clockTime(z.ReadTimeout), write: clockTime(z.WriteTimeout), idle: clockTime(z.IdleTimeout)},
		},
		socket: newSocketOptions(&z),
	}
	if err := s.setMarks(&z); err != nil {
		return nil, err
	}
	if z.OutputLimit == 0 {
		z.OutputLimit = DefaultOutputLimit
	}
	s.rules.outputLimit = clamp32(z.OutputLimit)
	if z.DeferCallbacks {
		s.flags |= flagDefer
	}
	if z.KeepOpen {
		s.flags |= flagKeepOpen
	}
	if (pause || z.PauseReadOnOutput) && s.rules.writeMark.high > 0 {
		s.flags |= flagPause
	}
	return s, nil
}

// SetMaxSingle bounds the bytes of one read and of one write, before other
// Conns have their turn. 0 means the default, see [ConnOptions]. Loop only.
//
// Libevent: bufferevent_set_max_single_read, bufferevent_set_max_single_write.
func (c *Conn) SetMaxSingle(read, write int) {
	c.loop.assertOwner("Conn.SetMaxSingle")
	r := *c.rules
	r.maxRead, r.maxWrite = maxSingle(read, DefaultMaxSingleRead), maxSingle(write, math.MaxInt32)
	c.setRules(r)
}

// MaxSingle returns the bounds of one read and of one write, in bytes. Loop
// only.
//
// Libevent: bufferevent_get_max_single_read, bufferevent_get_max_single_write.
func (c *Conn) MaxSingle() (read, write int) {
	c.loop.assertOwner("Conn.MaxSingle")
	return int(c.rules.maxRead), int(c.rules.maxWrite)
}

func maxSingle(n, byDefault int) int32 {
	if n <= 0 {
		n = byDefault
	}
	return clamp32(n)
}

// clamp32 stores a size: what does not fit means "as good as unbounded".
func clamp32(n int) int32 {
	return int32(min(max(n, 0), math.MaxInt32))
}
