package bev

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/bevgo/bev/internal/poll"
)

// An Entry is one thing that a Loop waits for, as [Loop.Entries] and
// [Loop.Dump] show it.
type Entry struct {
	// Kind is "conn", "listener", "watch", "timer" or "signal".
	Kind string
	// What is the *Conn, *Listener, *Watch, *Timer or *Signal itself.
	What any
	// FD is its descriptor, -1 for none.
	FD int
	// Dir is what it waits for: of a Conn, the directions that go on.
	Dir Dir
	// Priority is what its SetPriority set.
	Priority int
	// Note says what is particular to it, "" for nothing: "once edge", "every
	// 1s".
	Note string

	Pending
}

// String is a line of Dump, without the time that is left.
func (e Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s", e.Kind)
	if e.FD >= 0 {
		fmt.Fprintf(&b, " fd %d", e.FD)
	}
	if e.Dir != 0 {
		fmt.Fprintf(&b, " %v", e.Dir)
	}
	if e.Note != "" {
		b.WriteString(" " + e.Note)
	}
	fmt.Fprintf(&b, " priority %d", e.Priority)
	if e.Active {
		b.WriteString(" active")
	}
	return b.String()
}

// A describer is a source that Entries shows.
type describer interface {
	describe(list []Entry) []Entry
}

// Entries returns what the Loop waits for: its Conns, Listeners, Watches,
// Signals and Timers, in no order that means anything. They are those of the
// moment in which the walk begins; while it goes on, any of them may be stopped
// or closed. Loop only.
//
// Libevent: event_base_foreach_event.
func (l *Loop) Entries() iter.Seq[Entry] {
	l.assertOwner("Loop.Entries")
	return func(yield func(Entry) bool) {
		for _, e := range l.entries() {
			if !yield(e) {
				return
			}
		}
	}
}

func (l *Loop) entries() (list []Entry) {
	l.sources.Each(func(_ poll.Token, s source) {
		if d, ok := s.(describer); ok {
			list = d.describe(list)
		}
	})
	timer := func(e expirer) {
		if t, ok := e.(*Timer); ok {
			list = append(list, t.entry())
		}
	}
	l.timers.Each(timer)
	for i := range l.agenda.classes {
		q := &l.agenda.classes[i].queues[phaseTimers]
		for _, j := range q.list[q.next:] {
			// One that was set anew since is in the heap.
			if e := j.owner.(expirer); e.timerNode().Taken() {
				timer(e)
			}
		}
	}
	return list
}

// Dump writes a line for each of Entries to w, sorted, the time that is left to
// each by the clock of [Loop.Now], and a line of figures before them. It is for
// people: the format may change. The error is that of w. Loop only.
//
// Libevent: event_base_dump_events.
func (l *Loop) Dump(w io.Writer) error {
	l.assertOwner("Loop.Dump")
	s, now := l.Stats(), l.Now()
	var lines []string
	for _, e := range l.entries() {
		line := e.String()
		if !e.Due.IsZero() {
			line += fmt.Sprintf(" due in %v", e.Due.Sub(now))
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	_, err := fmt.Fprintf(w, "loop: %s, %d ticks, %d conns, %d watches, %d timers, %d active\n",
		s.Backend, s.Ticks, s.Conns, s.Watches, s.Timers, s.Active)
	for _, line := range lines {
		if err == nil {
			_, err = fmt.Fprintln(w, line)
		}
	}
	return err
}

func (t *Timer) entry() Entry {
	e := Entry{Kind: "timer", What: t, FD: -1, Priority: int(t.prio), Pending: t.Pending()}
	if t.every > 0 {
		e.Note = fmt.Sprintf("every %v", t.every)
	}
	return e
}

func (s *Signal) describe(list []Entry) []Entry {
	return append(list, Entry{Kind: "signal", What: s, FD: -1, Priority: int(s.prio), Pending: s.Pending()})
}

func (g *fdWatches) describe(list []Entry) []Entry {
	for _, w := range g.watches {
		var notes []string
		if w.once {
			notes = append(notes, "once")
		}
		if w.edge {
			notes = append(notes, "edge")
		}
		if w.timeout > 0 {
			notes = append(notes, fmt.Sprintf("timeout %v", w.timeout))
		}
		list = append(list, Entry{
			Kind: "watch", What: w, FD: w.fd, Dir: w.dir, Note: strings.Join(notes, " "),
			Priority: int(w.prio), Pending: w.Pending(),
		})
	}
	return list
}
