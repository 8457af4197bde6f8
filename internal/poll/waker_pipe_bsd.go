//go:build netbsd || openbsd

package poll

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/bevgo/bev/internal/sys"
)

// waker is a pipe that the kqueue watches: openbsd, and netbsd before 10, have
// no event that user programs trigger.
type waker struct {
	r, w int // both 0 until open
}

func (k *waker) open(p *kqueue) (err error) {
	if k.r, k.w, err = sys.Pipe(); err != nil {
		return err
	}
	var change [1]unix.Kevent_t
	unix.SetKevent(&change[0], k.r, unix.EVFILT_READ, unix.EV_ADD|unix.EV_CLEAR)
	return sys.KeventChange(sys.OpEventfd, p.fd, k.r, change[:])
}

func (k *waker) wake(*kqueue) error { return sys.PipeWake(k.w) }

// took reports whether ev is the waker's, and empties the pipe: a full one
// could not make the next edge.
func (k *waker) took(ev *unix.Kevent_t) bool {
	if int(ev.Filter) != unix.EVFILT_READ || int(ev.Ident) != k.r {
		return false
	}
	sys.PipeDrain(k.r)
	return true
}

func (k *waker) close() error {
	if k.r == k.w {
		return nil
	}
	return errors.Join(sys.Close(k.r), sys.Close(k.w))
}
