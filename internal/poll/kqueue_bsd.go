//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package poll

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bevgo/bev/internal/sys"
)

// kqueue is the Poller of darwin and the BSDs. Source: kqueue(2).
//
// It watches each direction by a filter of its own, and so may report a token
// twice in a batch. It keeps the tokens itself: the kernel's field for them is
// a pointer in Go's eyes, which the garbage collector would follow.
type kqueue struct {
	fd      int // owned by wait
	wait    waiter
	waker   waker
	events  []unix.Kevent_t // the kernel's array; as long as the longest out
	batch   []unix.Kevent_t // the part of events that the current call may use
	watched []watched       // by descriptor

	mu     sync.RWMutex // held for reading by Wake, which may be on any goroutine
	closed atomic.Bool  // set with mu held
}

// watched is what is known of a descriptor; a token of 0: it is not watched.
type watched struct {
	token Token
	want  Interest
}

func open(o Options) (Poller, error) {
	fd, err := sys.Kqueue()
	if err != nil {
		return nil, err
	}
	p := &kqueue{fd: fd}
	// Every policy is a blocking wait here: whether Go's poller may watch a
	// kqueue, which has to take O_NONBLOCK for that, differs between systems.
	p.wait = &blockWait{c: p}
	if err := p.waker.open(p); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *kqueue) Name() string { return "kqueue, " + p.wait.name() }

func (p *kqueue) Add(fd int, t Token, want Interest) error {
	if p.closed.Load() {
		return net.ErrClosed
	}
	// A kqueue does watch files, but by their length and the position in them.
	file, err := sys.IsRegular(fd)
	if err != nil {
		return err
	}
	if file {
		return ErrAlwaysReady
	}
	for fd >= len(p.watched) {
		p.watched = append(p.watched, watched{})
	}
	return p.change(fd, 0, watched{t, want})
}

func (p *kqueue) Modify(fd int, t Token, want Interest) error {
	if p.closed.Load() {
		return net.ErrClosed
	}
	if !p.isWatched(fd) {
		return notWatched()
	}
	before := p.watched[fd]
	err := p.change(fd, before.want, watched{t, want})
	if err != nil && p.change(fd, 0, before) != nil {
		p.watched[fd] = watched{}
	}
	return err
}

func (p *kqueue) Remove(fd int) error {
	if p.closed.Load() {
		return net.ErrClosed
	}
	if !p.isWatched(fd) {
		return notWatched()
	}
	return p.change(fd, p.watched[fd].want, watched{})
}

func (p *kqueue) isWatched(fd int) bool {
	return fd >= 0 && fd < len(p.watched) && p.watched[fd].token != 0
}

// notWatched is what epoll_ctl(2) says.
func notWatched() error { return os.NewSyscallError(sys.OpEpollCtl.String(), syscall.ENOENT) }

// change leads fd's filters from what old asked for to what now asks for. A
// filter that stays is taken off and put on again: only a new one reports what
// is ready already, and only a new one changes between edge and level. If the
// kernel refuses, fd is not watched any more.
func (p *kqueue) change(fd int, old Interest, now watched) error {
	var changes [4]unix.Kevent_t
	n := 0
	put := func(want Interest, flags int) {
		if want&Edge != 0 && flags&unix.EV_ADD != 0 {
			flags |= unix.EV_CLEAR
		}
		if want&Read != 0 {
			unix.SetKevent(&changes[n], fd, unix.EVFILT_READ, flags)
			n++
		}
		if want&Write != 0 {
			unix.SetKevent(&changes[n], fd, unix.EVFILT_WRITE, flags)
			n++
		}
	}
	put(old, unix.EV_DELETE)
	put(now.want, unix.EV_ADD)
	p.watched[fd] = now
	if n == 0 {
		return nil
	}
	err := sys.KeventChange(sys.OpEpollCtl, p.fd, fd, changes[:n])
	if err != nil {
		p.watched[fd] = watched{}
		for _, want := range []Interest{Read, Write} {
			n = 0
			put(want, unix.EV_DELETE)
			// Which of them are there is not known, so failing is in order.
			_ = sys.KeventChange(sys.OpEpollCtl, p.fd, fd, changes[:n])
		}
	}
	return err
}

func (p *kqueue) Poll(out []Event) (int, error) {
	if p.closed.Load() {
		return 0, net.ErrClosed
	}
	p.prepare(out)
	n, err := p.collect()
	return p.translate(out, n), err
}

func (p *kqueue) Park(out []Event, deadline time.Time) (int, error) {
	if p.closed.Load() {
		return 0, net.ErrClosed
	}
	p.prepare(out)
	n, err := p.wait.wait(deadline)
	return p.translate(out, n), err
}

// prepare makes batch as long as out.
func (p *kqueue) prepare(out []Event) {
	if len(out) == 0 {
		panic("poll: no room for events")
	}
	if len(p.events) < len(out) {
		p.events = make([]unix.Kevent_t, len(out))
	}
	p.batch = p.events[:len(out)]
}

func (p *kqueue) collect() (int, error) { return sys.KeventWait(p.fd, p.batch, 0) }

func (p *kqueue) block(d time.Duration) (int, error) { return sys.KeventWait(p.fd, p.batch, d) }

func (p *kqueue) release() error { return sys.Close(p.fd) }

// translate fills out from the first n of the kernel's events and drops the
// waker's, whose work was to end the wait.
func (p *kqueue) translate(out []Event, n int) int {
	used := 0
	for i := range p.batch[:n] {
		ev := &p.batch[i]
		if p.waker.took(ev) {
			continue
		}
		fd := int(ev.Ident)
		if !p.isWatched(fd) {
			continue
		}
		out[used] = Event{Token: p.watched[fd].token, Ready: fromKevent(ev)}
		used++
	}
	return used
}

// fromKevent is the kernel's report as readiness. An end of the write side is
// no Hangup: some systems report it for our own shutdown.
func fromKevent(ev *unix.Kevent_t) (r Ready) {
	switch int(ev.Filter) {
	case unix.EVFILT_READ:
		r = Readable
		if ev.Flags&unix.EV_EOF != 0 {
			r |= PeerClosed
		}
	case unix.EVFILT_WRITE:
		r = Writable
	}
	if ev.Flags&unix.EV_ERROR != 0 || ev.Flags&unix.EV_EOF != 0 && ev.Fflags != 0 {
		r |= Readable | Writable | Failed
	}
	return r
}

func (p *kqueue) Wake() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed.Load() {
		return net.ErrClosed
	}
	return p.waker.wake(p)
}

func (p *kqueue) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Swap(true) {
		return net.ErrClosed
	}
	return errors.Join(p.wait.close(), p.waker.close())
}
