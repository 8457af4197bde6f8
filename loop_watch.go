package bev

import (
	"errors"
	"fmt"
	"time"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/timer"
)

// A Watch runs a function on the loop while a descriptor is ready: a terminal,
// a pipe, an inotify or timer descriptor, somebody else's socket. Made by
// [Loop.Watch] and [Loop.WatchWith]. Its methods are Loop only.
//
// Libevent: struct event, event_new with EV_READ, EV_WRITE and EV_PERSIST.
type Watch struct {
	// Set at creation, then constant.
	loop *Loop
	fd   int
	dir  Dir
	once bool
	edge bool
	f    func(w *Watch, ready Dir)

	group    *fdWatches // nil while it is not added
	active   Dir        // what f is to be called for, see also expired
	queued   bool       // in Loop.work.again
	timedOut bool       // see TimedOut
	prio     uint8
	seq      uint32 // see Loop.postpone
	timeout  time.Duration
	when     int64 // the end of the timeout, where node is armed
	node     timer.Node
}

// expired in Watch.active stands for the end of its timeout.
const expired Dir = 1 << 7

// WatchOptions are the settings of a [Watch]. A nil pointer means all defaults.
// The struct is copied.
//
// Libevent: event_new (its flags).
type WatchOptions struct {
	// Once calls the function once, for what comes first, its direction or the
	// end of the timeout. Before that the Watch is taken away; Start adds it
	// again, also from the function.
	//
	// Libevent: the absence of EV_PERSIST.
	Once bool

	// Edge calls the function when readiness begins, and perhaps again when
	// more arrives, instead of for as long as it lasts: read, or write, until
	// the descriptor would block. Watches that share a descriptor are all of
	// one kind. A call without cause is possible, when another Watch of the
	// descriptor is added or stopped. A regular file is ready once.
	//
	// Libevent: EV_ET.
	Edge bool

	// Timeout calls the function, with no direction, when it has not been
	// called for that long; see [Watch.TimedOut]. 0 or less means none.
	//
	// Libevent: event_add (its timeout).
	Timeout time.Duration
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
	edge    bool
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
	return l.watch("Watch", fd, dir, f, nil)
}

// WatchWith is Watch with options: for once, by edge, with a timeout. Loop only.
//
// Libevent: event_new, event_add, event_base_once.
func (l *Loop) WatchWith(fd int, dir Dir, f func(w *Watch, ready Dir), o *WatchOptions) (*Watch, error) {
	l.assertOwner("Loop.WatchWith")
	return l.watch("WatchWith", fd, dir, f, o)
}

func (l *Loop) watch(method string, fd int, dir Dir, f func(w *Watch, ready Dir), o *WatchOptions) (*Watch, error) {
	if f == nil || dir == 0 || dir&^Both != 0 {
		misuse("%s needs a function and a direction: Reading, Writing or Both", method)
	}
	w := &Watch{loop: l, fd: fd, dir: dir, f: f, prio: l.agenda.middle}
	if o != nil {
		w.once, w.edge, w.timeout = o.Once, o.Edge, max(o.Timeout, 0)
	}
	if err := w.add(); err != nil {
		return nil, err
	}
	return w, nil
}

// add brings the Watch to the kernel, and starts its timeout.
func (w *Watch) add() error {
	l := w.loop
	g := l.files[w.fd]
	if g == nil {
		g = &fdWatches{loop: l, fd: w.fd, edge: w.edge}
		g.token = l.sources.Insert(g)
	}
	if g.edge != w.edge {
		return fmt.Errorf("bev: cannot watch descriptor %d: its other Watches differ in WatchOptions.Edge; stop them first, or watch a duplicate (dup(2))", w.fd)
	}
	g.watches = append(g.watches, w)
	if err := g.update(true); err != nil {
		g.watches = g.watches[:len(g.watches)-1]
		if len(g.watches) == 0 {
			l.sources.Remove(g.token)
		}
		return fmt.Errorf("bev: cannot watch descriptor %d: %w", w.fd, err)
	}
	l.files[w.fd] = g
	w.group = g
	l.watches++
	if g.always && g.edge {
		w.activate(w.dir)
	}
	w.startTimeout(l.clock())
	return nil
}

// remove takes it away from the kernel, and ends its timeout.
func (w *Watch) remove() {
	g := w.group
	w.group = nil
	w.loop.watches--
	w.loop.disarm(w)
	kept := make([]*Watch, 0, len(g.watches)) // not in place: split may be walking it
	for _, o := range g.watches {
		if o != w {
			kept = append(kept, o)
		}
	}
	g.watches = kept
	// Wanting less cannot fail on an open descriptor, and a closed one has
	// left the kernel's list by itself.
	_ = g.update(false)
}

// update tells the kernel what the Watches want together, and of a new one, so
// that by edge it hears what is there already.
func (g *fdWatches) update(added bool) (err error) {
	var want Dir
	for _, w := range g.watches {
		want |= w.dir
	}
	switch {
	case want == g.want && !(added && g.edge):
		return nil
	case want == 0:
		err = g.forget()
	case g.always:
	case g.want == 0:
		err = g.loop.poller.Add(g.fd, g.token, g.interest(want))
		if errors.Is(err, poll.ErrAlwaysReady) {
			g.always, err = true, nil
			if !g.edge {
				g.queue()
			}
		}
	default:
		err = g.loop.poller.Modify(g.fd, g.token, g.interest(want))
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

func (g *fdWatches) interest(d Dir) poll.Interest {
	var i poll.Interest
	if d&Reading != 0 {
		i |= poll.Read
	}
	if d&Writing != 0 {
		i |= poll.Write
	}
	if g.edge {
		i |= poll.Edge
	}
	return i
}

// ready calls a Watch that is alone at once. Several have their turns one by
// one, so that one of them may panic, or break off the tick, without taking
// the others' edge with it.
func (g *fdWatches) ready(r poll.Ready) {
	if len(g.watches) != 1 {
		g.split(r)
		return
	}
	if w := g.watches[0]; w.dir&directions(r) != 0 {
		w.run(w.dir & directions(r))
	}
}

// split queues what ready would call, and a regular file for its next turn.
func (g *fdWatches) split(r poll.Ready) {
	if g.always && !g.edge {
		g.queued = false
		if len(g.watches) > 0 {
			g.queue()
		}
	}
	d := directions(r)
	for _, w := range g.watches {
		if w.dir&d != 0 {
			w.activate(w.dir & d)
		}
	}
}

// directions are those in which a call would not block.
func directions(r poll.Ready) (d Dir) {
	if r&(poll.Readable|poll.PeerClosed|poll.Hangup|poll.Failed) != 0 {
		d |= Reading
	}
	if r&(poll.Writable|poll.Hangup|poll.Failed) != 0 {
		d |= Writing
	}
	return d
}

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
	if len(g.watches) == 1 {
		g.queue() // before the call: a panic in it ends the Watch, not this
	}
	g.ready(poll.Readable | poll.Writable)
}

func (g *fdWatches) shutdown() {
	g.loop.watches -= len(g.watches)
	for _, w := range g.watches {
		w.group, w.active = nil, 0
		w.loop.disarm(w)
	}
	g.watches = nil
	_ = g.forget()
}
