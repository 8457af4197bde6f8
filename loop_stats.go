package bev

// LoopStats is a snapshot of what a Loop has done and holds.
//
// Libevent: event_base_get_num_events, event_base_get_max_events.
type LoopStats struct {
	Backend string // epoll or kqueue, and how it waits, for people: "epoll, blocking"
	Ticks   uint64 // waits that returned
	Events  uint64 // readiness reports from the kernel
	Panics  uint64 // callbacks that panicked
	Conns   int    // connections that are open now
	Opened  uint64 // connections so far
	Timers  int    // deadlines armed now, those of connections included
	Watches int    // that are added now
	Memory  int    // bytes kept for the next burst, not in use by any Conn

	// What waits for something: Conns, Listeners, Signals, and descriptors
	// with Watches. With Timers it is what keeps RunUntilEmpty going.
	Sources int
	// What waits for its turn and needs no further cause: queued work, posted
	// calls, what Activate was called for.
	Active int
	// The most there were of each since the Loop was made, or since ResetMax.
	// MaxActive is of what ticks began with: events of the kernel count, timers
	// that are due do not.
	MaxSources, MaxTimers, MaxActive int

	// Of a Loop with a MemoryBudget.
	Buffered      int    // bytes that the buffers of its Conns count for
	BudgetWaiting int    // Conns whose reading is suspended for it now
	BudgetStops   uint64 // how often a Conn's was

	BytesRead, BytesWritten uint64 // by the Conns of the Loop, transport bytes
}

// Stats returns a snapshot. Loop only.
//
// Libevent: event_base_get_num_events.
func (l *Loop) Stats() LoopStats {
	l.assertOwner("Loop.Stats")
	s := l.stats
	s.Timers, s.MaxTimers = l.timers.Len(), l.timers.Peak()
	s.Sources, s.MaxSources = l.sources.Len(), l.sources.Peak()
	s.Watches = l.watches
	s.Active = l.work.len() + l.agenda.n + int(l.waiting.Load())
	s.Memory = l.pool.Retained()
	s.Buffered = int(l.budget.held)
	s.BudgetWaiting, s.BudgetStops = l.budget.stopped, l.budget.stops
	return s
}

// ResetMax begins the high-water marks of LoopStats anew with what there is now.
// Loop only.
//
// Libevent: event_base_get_max_events.
func (l *Loop) ResetMax() {
	l.assertOwner("Loop.ResetMax")
	l.timers.ResetPeak()
	l.sources.ResetPeak()
	l.stats.MaxActive = 0
}

// snapshot is Stats for other goroutines: the loop is asked in its turn. While
// no Run goes on, the Loop belongs to whoever sets it up, and the figures are
// those of the end of the last one: what is said of it under mu is all that may
// be looked at.
func (l *Loop) snapshot() LoopStats {
	if l.onLoop() {
		return l.Stats()
	}
	answer := make(chan LoopStats, 1)
	asked := false
	for {
		l.mu.Lock()
		running, done, last := l.running, l.done, l.last
		l.mu.Unlock()
		if !running {
			return last
		}
		if !asked {
			asked = l.Post(func() { answer <- l.Stats() }) == nil
		}
		select {
		case s := <-answer:
			return s
		case <-done: // perhaps to be run again
		}
	}
}

// add makes s the sum of s and o.
func (s *LoopStats) add(o LoopStats) {
	s.Backend = o.Backend
	s.Ticks += o.Ticks
	s.Events += o.Events
	s.Panics += o.Panics
	s.Conns += o.Conns
	s.Opened += o.Opened
	s.Timers += o.Timers
	s.Watches += o.Watches
	s.Sources += o.Sources
	s.Active += o.Active
	s.MaxSources += o.MaxSources
	s.MaxTimers += o.MaxTimers
	s.MaxActive += o.MaxActive
	s.Memory += o.Memory
	s.Buffered += o.Buffered
	s.BudgetWaiting += o.BudgetWaiting
	s.BudgetStops += o.BudgetStops
	s.BytesRead += o.BytesRead
	s.BytesWritten += o.BytesWritten
}
