package bev

import (
	"os"
	"os/signal"
	"sync"

	"github.com/bevgo/bev/internal/poll"
)

// A Signal runs a function on the loop when the process receives a signal.
// Made by [Loop.Notify].
//
// Libevent: evsignal_new.
type Signal struct {
	loop  *Loop
	f     func(os.Signal)
	ch    chan os.Signal
	done  chan struct{}
	token poll.Token // 0 once stopped
	prio  uint8

	mu   sync.Mutex
	come []os.Signal // received, not handed over yet
}

// Notify runs f on the loop each time one of sigs arrives, until
// [Signal.Stop]. As with os/signal.Notify, the signal then no longer does
// what it does by default, several Notifys for one signal all hear of it, and
// no sigs means all of them. Loop only.
//
// Libevent: evsignal_new, evsignal_add.
func (l *Loop) Notify(f func(os.Signal), sigs ...os.Signal) *Signal {
	l.assertOwner("Loop.Notify")
	if f == nil {
		misuse("Notify needs a function")
	}
	s := &Signal{loop: l, f: f, ch: make(chan os.Signal, 16), done: make(chan struct{}), prio: l.agenda.middle}
	s.token = l.sources.Insert(s)
	signal.Notify(s.ch, sigs...)
	go s.forward()
	return s
}

// forward carries signals from the runtime's goroutine to the loop.
func (s *Signal) forward() {
	for {
		select {
		case <-s.done:
			return
		case sig := <-s.ch:
			s.arrived(sig)
		}
	}
}

func (s *Signal) arrived(sig os.Signal) {
	s.mu.Lock()
	s.come = append(s.come, sig)
	s.mu.Unlock()
	// A closed loop has stopped us or is about to.
	_ = s.loop.post(s)
}

// run is the posted call: one signal, one call of f.
func (s *Signal) run() {
	s.mu.Lock()
	sig := s.come[0]
	s.come = s.come[1:]
	s.mu.Unlock()
	if s.token != 0 {
		s.f(sig)
	}
}

func (s *Signal) drop() {}

// Activate has the function run in the next tick as if sig had arrived. It does
// nothing once the Signal is stopped. Loop only.
//
// Libevent: event_active, event_base_active_by_signal.
func (s *Signal) Activate(sig os.Signal) {
	s.loop.assertOwner("Signal.Activate")
	if s.token != 0 {
		s.arrived(sig)
	}
}

// Pending returns whether s is notified, and whether a signal that has arrived
// waits for its call. Loop only.
//
// Libevent: event_pending, evsignal_pending.
func (s *Signal) Pending() Pending {
	s.loop.assertOwner("Signal.Pending")
	s.mu.Lock()
	defer s.mu.Unlock()
	return Pending{Added: s.token != 0, Active: s.token != 0 && len(s.come) > 0}
}

// SetPriority gives s another priority, see [Conn.SetPriority]. Loop only.
//
// Libevent: event_priority_set.
func (s *Signal) SetPriority(p int) {
	s.loop.assertOwner("Signal.SetPriority")
	s.prio = s.loop.checkPriority("Signal.SetPriority", p)
}

// Priority returns what SetPriority set. Loop only.
//
// Libevent: event_get_priority.
func (s *Signal) Priority() int {
	s.loop.assertOwner("Signal.Priority")
	return int(s.prio)
}

func (s *Signal) class() uint8 { return s.prio }

// Stop ends the notification; f is not called any more. Loop only.
//
// Libevent: evsignal_del.
func (s *Signal) Stop() {
	s.loop.assertOwner("Signal.Stop")
	s.shutdown()
}

func (s *Signal) shutdown() {
	if s.token == 0 {
		return
	}
	s.loop.sources.Remove(s.token)
	s.token = 0
	signal.Stop(s.ch)
	close(s.done)
}

// ready is never called: the kernel does not know the token.
func (s *Signal) ready(poll.Ready) {}
