package bev

import (
	"time"

	"github.com/bevgo/bev/internal/timer"
)

// Pending is what a [Watch], a [Timer] or a [Signal] waits for.
//
// Libevent: event_pending.
type Pending struct {
	// Added says that it waits: for its descriptor, its time, its signal.
	Added bool
	// Active says that its function is going to run without further cause.
	Active bool
	// Due is when its timeout ends, by the clock of [Loop.Now]; the zero Time
	// for none.
	Due time.Time
}

// pendingTimer is the Pending of something with a deadline.
func (l *Loop) pendingTimer(added, active bool, n *timer.Node, when int64) Pending {
	p := Pending{Added: added, Active: active}
	if n.Armed() {
		p.Due = l.base.Add(time.Duration(when))
	}
	return p
}
