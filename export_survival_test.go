package bev

import "time"

// SkipTime has the loop's clock jump ahead by d: what is due by then is due
// now. Loop only.
func (l *Loop) SkipTime(d time.Duration) { l.base = l.base.Add(-d) }

// Delay is the attempt delay that a Dial with these options uses.
func (o DialOptions) Delay() time.Duration { return (&dialing{opts: o}).delay() }

// MaxRacing is how many sockets of one Dial try at once.
const MaxRacing = maxRacing

// Waiting is how many calls wait for their turn.
func (h Handle) Waiting() int {
	h.h.mu.Lock()
	defer h.h.mu.Unlock()
	return len(h.h.ops.waiting)
}

// Drains is how many Shutdowns wait. Loop only.
func (l *Loop) Drains() int { return len(l.drains) }

func (ln *Listener) Drains() int {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return len(ln.drains)
}

// Sockets is how many Conns over descriptors the Loop counts. Safe from any
// goroutine.
func (l *Loop) Sockets() int { return int(l.sockets.Load()) }
