package bev

// LoopStats is a snapshot of what a Loop has done and holds.
//
// Libevent: event_base_get_num_events.
type LoopStats struct {
	Backend string // "epoll", "kqueue"
	Ticks   uint64 // waits that returned
	Events  uint64 // readiness reports from the kernel
	Panics  uint64 // callbacks that panicked
	Conns   int    // connections that are open now
	Opened  uint64 // connections so far
	Timers  int    // deadlines armed now, those of connections included
	Memory  int    // bytes kept for the next burst, not in use by any Conn

	BytesRead, BytesWritten uint64 // by the Conns of the Loop, transport bytes
}

// Stats returns a snapshot. Loop only.
//
// Libevent: event_base_get_num_events.
func (l *Loop) Stats() LoopStats {
	l.assertOwner("Loop.Stats")
	s := l.stats
	s.Timers = l.timers.Len()
	s.Memory = l.pool.Retained()
	return s
}
