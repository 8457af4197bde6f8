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
	s.Timers = l.timers.Len()
	s.Memory = l.pool.Retained()
	s.Buffered = int(l.budget.held)
	s.BudgetWaiting, s.BudgetStops = l.budget.stopped, l.budget.stops
	return s
}

// snapshot is Stats for other goroutines: the loop is asked in its turn, unless
// it is not running.
func (l *Loop) snapshot() LoopStats {
	if l.onLoop() {
		return l.Stats()
	}
	l.mu.Lock()
	running, done := l.running, l.done
	l.mu.Unlock()
	if running {
		answer := make(chan LoopStats, 1)
		if l.Post(func() { answer <- l.Stats() }) == nil {
			select {
			case s := <-answer:
				return s
			case <-done:
			}
		} else {
			<-done // it is closing
		}
	}
	return l.Stats()
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
	s.Memory += o.Memory
	s.Buffered += o.Buffered
	s.BudgetWaiting += o.BudgetWaiting
	s.BudgetStops += o.BudgetStops
	s.BytesRead += o.BytesRead
	s.BytesWritten += o.BytesWritten
}
