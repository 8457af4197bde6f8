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
	s := &Signal{loop: l, f: f, ch: make(chan os.Signal, 16), done: make(chan struct{})}
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
			s.mu.Lock()
			s.come = append(s.come, sig)
			s.mu.Unlock()
			// A closed loop has stopped us or is about to.
			_ = s.loop.post(s)
		}
	}
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
