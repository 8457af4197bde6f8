package bev

import (
	"errors"
	"fmt"

	"github.com/bevgo/bev/internal/poll"
)

// A Watch runs a function on the loop for as long as a descriptor is ready: a
// terminal, a pipe, an inotify or timer descriptor, somebody else's socket.
// Made by [Loop.Watch]. Its methods are Loop only.
//
// Libevent: event_new with EV_READ, EV_WRITE and EV_PERSIST.
type Watch struct {
	group *fdWatches // nil once stopped
	dir   Dir
	f     func(w *Watch, ready Dir)
}

// fdWatches are the Watches of one descriptor. The kernel takes a descriptor
// once (epoll_ctl(2), EEXIST), so they share one registration for the union
// of what they want.
type fdWatches struct {
	loop    *Loop
	fd      int
	token   poll.Token
	watches []*Watch
	want    Dir
	always  bool // a regular file: the kernel does not watch it, it is always ready
	queued  bool // in Loop.work.again
}

// Watch calls f on the loop whenever fd is ready in one of the directions of
// dir, again and again until fd has been read or written or the Watch is
// stopped. ready tells which of dir are. An end of file, a hang-up or an error
// counts as ready: the next read or write tells what it is. A regular file is
// always ready.
//
// The descriptor stays yours: it is not made non-blocking, and not closed.
// Stop the Watch before you close it. Several Watches may share a descriptor,
// but a Watch and a Conn may not. Loop only.
//
// Libevent: event_new, event_add.
func (l *Loop) Watch(fd int, dir Dir, f func(w *Watch, ready Dir)) (*Watch, error) {
	l.assertOwner("Loop.Watch")
	if f == nil || dir == 0 || dir&^Both != 0 {
		misuse("Watch needs a function and a direction: Reading, Writing or Both")
	}
	g := l.files[fd]
	if g == nil {
		g = &fdWatches{loop: l, fd: fd}
		g.token = l.sources.Insert(g)
	}
	w := &Watch{group: g, dir: dir, f: f}
	g.watches = append(g.watches, w)
	if err := g.update(); err != nil {
		g.watches = g.watches[:len(g.watches)-1]
		if len(g.watches) == 0 {
			l.sources.Remove(g.token)
		}
		return nil, fmt.Errorf("bev: cannot watch descriptor %d: %w", fd, err)
	}
	l.files[fd] = g
	return w, nil
}

// Stop ends the Watch; f is not called any more. Loop only.
//
// Libevent: event_del.
func (w *Watch) Stop() {
	g := w.group
	if g == nil {
		return
	}
	g.loop.assertOwner("Watch.Stop")
	w.group = nil
	kept := make([]*Watch, 0, len(g.watches)) // not in place: ready may be walking it
	for _, o := range g.watches {
		if o != w {
			kept = append(kept, o)
		}
	}
	g.watches = kept
	// Wanting less cannot fail on an open descriptor, and a closed one has
	// left the kernel's list by itself.
	_ = g.update()
}

// FD returns the descriptor. Loop only.
//
// Libevent: event_get_fd.
func (w *Watch) FD() int {
	if w.group == nil {
		return -1
	}
	w.group.loop.assertOwner("Watch.FD")
	return w.group.fd
}

// update tells the kernel what the Watches want together.
func (g *fdWatches) update() (err error) {
	var want Dir
	for _, w := range g.watches {
		want |= w.dir
	}
	switch {
	case want == g.want:
		return nil
	case want == 0:
		err = g.forget()
	case g.always:
	case g.want == 0:
		err = g.loop.poller.Add(g.fd, g.token, interest(want))
		if errors.Is(err, poll.ErrAlwaysReady) {
			g.always, err = true, nil
			g.queue()
		}
	default:
		err = g.loop.poller.Modify(g.fd, g.token, interest(want))
	}
	if err == nil {
		g.want = want
	}
	return err
}

// forget gives the descriptor back.
func (g *fdWatches) forget() error {
	g.loop.sources.Remove(g.token)
	if g.loop.files[g.fd] == g {
		delete(g.loop.files, g.fd)
	}
	if g.always {
		return nil
	}
	return g.loop.poller.Remove(g.fd)
}

func interest(d Dir) poll.Interest {
	var i poll.Interest
	if d&Reading != 0 {
		i |= poll.Read
	}
	if d&Writing != 0 {
		i |= poll.Write
	}
	return i
}

func (g *fdWatches) ready(r poll.Ready) {
	var d Dir
	if r&(poll.Readable|poll.PeerClosed|poll.Hangup|poll.Failed) != 0 {
		d |= Reading
	}
	if r&(poll.Writable|poll.Hangup|poll.Failed) != 0 {
		d |= Writing
	}
	g.call(d)
}

// call runs the Watches that want one of d. Stop replaces the slice, so the
// one walked here stays as it is.
func (g *fdWatches) call(d Dir) {
	for _, w := range g.watches {
		if w.group != nil && w.dir&d != 0 {
			g.loop.current = w
			w.f(w, w.dir&d)
			g.loop.current = nil
		}
	}
}

// panicked stops a Watch whose function panicked: what it was ready for is
// still there, and would call it again at once, for ever.
func (w *Watch) panicked(*PanicError) { w.Stop() }

// queue and resumeWork keep an always-ready descriptor in the loop's turn.
func (g *fdWatches) queue() {
	if !g.queued {
		g.queued = true
		g.loop.work.again.add(g)
	}
}

func (g *fdWatches) resumeWork() {
	g.queued = false
	if len(g.watches) == 0 {
		return
	}
	g.queue() // before the calls: a panic in one must not end the Watch
	g.call(Both)
}

func (g *fdWatches) shutdown() {
	for _, w := range g.watches {
		w.group = nil
	}
	g.watches = nil
	_ = g.forget()
}
