package poll

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bevgo/bev/internal/sys"
)

// epoll is the Poller of Linux. Source: epoll(7).
type epoll struct {
	fd     int // owned by wait
	wait   waiter
	events []unix.EpollEvent // the kernel's array; as long as the longest out
	batch  []unix.EpollEvent // the part of events that the current call may use

	// Wake reads wakefd on any goroutine; Close changes it, so that a late
	// Wake does not write to what has the number by then.
	mu     sync.RWMutex
	wakefd int // -1 once closed
	closed atomic.Bool
}

// wakeToken marks the waker's events. It is no token of a Table.
const wakeToken Token = 0

func open(o Options) (Poller, error) {
	fd, err := sys.EpollCreate()
	if err != nil {
		return nil, err
	}
	p := &epoll{fd: fd, wakefd: -1}
	if err := p.openWait(o.Wait); err != nil {
		return nil, err
	}
	if err := p.openWaker(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// openWait chooses how to wait. Whatever it chooses then owns p.fd, which is
// closed if it fails.
func (p *epoll) openWait(policy WaitPolicy) error {
	if policy != WaitRuntime {
		p.wait = &blockWait{c: p}
		return nil
	}
	gate, err := newGate()
	if err != nil {
		return errors.Join(err, p.release())
	}
	p.waitBehind(gate)
	return nil
}

// waitBehind lets the runtime have the gate, if it takes it.
func (p *epoll) waitBehind(gate int) {
	w, err := newRuntimeWait(p, p.fd, gate)
	if err != nil {
		p.wait = &blockWait{c: p, why: ", as the runtime's poller refused"}
		return
	}
	p.wait = w
}

func (p *epoll) Name() string { return "epoll, " + p.wait.name() }

func (p *epoll) Add(fd int, t Token, want Interest) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, t, want)
}

func (p *epoll) Modify(fd int, t Token, want Interest) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, t, want)
}

func (p *epoll) Remove(fd int) error { return p.control(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (p *epoll) control(op, fd int, t Token, want Interest) error {
	if p.closed.Load() {
		return net.ErrClosed
	}
	err := sys.EpollCtl(p.fd, op, fd, toEpoll(want), uint64(t))
	if errors.Is(err, syscall.EPERM) {
		return ErrAlwaysReady
	}
	return err
}

// toEpoll is an interest in the kernel's bits. EPOLLHUP and EPOLLERR are
// always on. EPOLLRDHUP goes with reading only: level-triggered, it would
// report for ever to somebody who waits for room to write.
func toEpoll(want Interest) (events uint32) {
	if want&Read != 0 {
		events |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if want&Write != 0 {
		events |= unix.EPOLLOUT
	}
	if want&Edge != 0 {
		events |= unix.EPOLLET
	}
	return events
}

// fromEpoll is the kernel's bits as readiness, the only place that knows both.
func fromEpoll(events uint32) (r Ready) {
	if events&unix.EPOLLIN != 0 {
		r |= Readable
	}
	if events&unix.EPOLLOUT != 0 {
		r |= Writable
	}
	if events&unix.EPOLLRDHUP != 0 {
		r |= Readable | PeerClosed
	}
	if events&unix.EPOLLHUP != 0 {
		r |= Readable | Writable | Hangup
	}
	if events&unix.EPOLLERR != 0 {
		r |= Readable | Writable | Failed
	}
	return r
}

func (p *epoll) Poll(out []Event) (int, error) {
	if p.closed.Load() {
		return 0, net.ErrClosed
	}
	p.prepare(out)
	n, err := p.collect()
	return p.translate(out, n), err
}

func (p *epoll) Park(out []Event, deadline time.Time) (int, error) {
	if p.closed.Load() {
		return 0, net.ErrClosed
	}
	p.prepare(out)
	n, err := p.wait.wait(deadline)
	return p.translate(out, n), err
}

// prepare makes batch as long as out.
func (p *epoll) prepare(out []Event) {
	if len(out) == 0 {
		panic("poll: no room for events")
	}
	if len(p.events) < len(out) {
		p.events = make([]unix.EpollEvent, len(out))
	}
	p.batch = p.events[:len(out)]
}

func (p *epoll) collect() (int, error) { return sys.EpollPoll(p.fd, p.batch) }

func (p *epoll) block(d time.Duration) (int, error) { return sys.EpollWait(p.fd, p.batch, d) }

func (p *epoll) release() error { return sys.Close(p.fd) }

// translate fills out from the first n of the kernel's events and drops the
// waker's, whose work was to end the wait.
func (p *epoll) translate(out []Event, n int) int {
	used := 0
	for i := range p.batch[:n] {
		ev := &p.batch[i]
		if t := Token(sys.EventData(ev)); t != wakeToken {
			out[used] = Event{Token: t, Ready: fromEpoll(ev.Events)}
			used++
		}
	}
	return used
}

// openWaker watches an eventfd that nobody ever reads: edge-triggered, each
// write to it is an event of its own, so a wake costs one call on each side
// and nothing has to be emptied. Wakes that nobody has seen yet are one event.
// The counter would be full after 2^64 of them.
func (p *epoll) openWaker() (err error) {
	if p.wakefd, err = sys.Eventfd(); err != nil {
		return err
	}
	return sys.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, p.wakefd, unix.EPOLLIN|unix.EPOLLET, uint64(wakeToken))
}

func (p *epoll) Wake() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.wakefd < 0 {
		return net.ErrClosed
	}
	return sys.EventfdAdd(p.wakefd)
}

func (p *epoll) Close() error {
	if p.closed.Swap(true) {
		return net.ErrClosed
	}
	p.mu.Lock()
	wakefd := p.wakefd
	p.wakefd = -1
	p.mu.Unlock()
	err := p.wait.close()
	if wakefd >= 0 {
		err = errors.Join(err, sys.Close(wakefd))
	}
	return err
}
