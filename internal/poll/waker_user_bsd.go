//go:build darwin || freebsd || dragonfly

package poll

import (
	"golang.org/x/sys/unix"

	"github.com/bevgo/bev/internal/sys"
)

// waker is an event that user programs trigger, a filter of these systems'
// kqueue: it needs no descriptor, and with EV_CLEAR nothing has to be emptied.
type waker struct{}

func (waker) open(p *kqueue) error { return changeUser(sys.OpEventfd, p, unix.EV_ADD|unix.EV_CLEAR, 0) }

func (waker) wake(p *kqueue) error { return changeUser(sys.OpWake, p, 0, unix.NOTE_TRIGGER) }

func changeUser(op sys.Op, p *kqueue, flags int, note uint32) error {
	var change [1]unix.Kevent_t
	unix.SetKevent(&change[0], 0, unix.EVFILT_USER, flags)
	change[0].Fflags = note
	return sys.KeventChange(op, p.fd, p.fd, change[:])
}

// took reports whether ev is the waker's, and readies it for the next one.
func (waker) took(ev *unix.Kevent_t) bool { return ev.Filter == unix.EVFILT_USER }

func (waker) close() error { return nil }
