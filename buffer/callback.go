package buffer

// A Change tells a callback how a Buffer changed since the callback ran last.
type Change struct {
	OrigLen int // Len before
	Added   int // bytes that came
	Removed int // bytes that went
}

// A Callback is a function that hears of changes of a Buffer's length. It belongs to the goroutine of its Buffer.
type Callback struct {
	b        *Buffer
	next     *Callback
	fn       func(Change)
	disabled bool
	removed  bool
}

// AddCallback has fn called after each method that changes Len, when the change is complete, and returns a handle to
// stop that. Several callbacks run newest first. fn may use and change b, which calls it again, nested; it may remove
// any callback, itself included.
//
// Libevent: evbuffer_add_cb.
func (b *Buffer) AddCallback(fn func(Change)) *Callback {
	if fn == nil {
		panic("buffer: AddCallback of a nil function")
	}
	e := b.own()
	c := &Callback{b: b, next: e.callbacks, fn: fn}
	e.callbacks = c
	return c
}

// Enable lets c run again after Disable, from the next change on.
//
// Libevent: evbuffer_cb_set_flags.
func (c *Callback) Enable() { c.disabled = false }

// Disable keeps c from running until Enable. What changes meanwhile is not told later, unless callbacks are deferred
// and c is enabled again before they run.
//
// Libevent: evbuffer_cb_clear_flags.
func (c *Callback) Disable() { c.disabled = true }

// Enabled says whether c runs when its Buffer changes.
func (c *Callback) Enabled() bool { return !c.disabled && !c.removed }

// Remove takes c off its Buffer for good. A second Remove does nothing.
//
// Libevent: evbuffer_remove_cb_entry, evbuffer_remove_cb. Unlike libevent, a callback may remove others too.
func (c *Callback) Remove() {
	if c.removed {
		return
	}
	c.removed = true
	b := c.b
	for at := &b.ext.callbacks; *at != nil; at = &(*at).next {
		if *at == c {
			*at = c.next // c.next stays: a run over the list may stand at c
			break
		}
	}
	if b.ext.callbacks == nil {
		b.ext.added, b.ext.removed = 0, 0
		b.disown()
	}
}

// DeferCallbacks makes the callbacks run later and together: on the first change schedule is called with a function
// that its caller runs when it sees fit, on b's goroutine; the callbacks then hear the sum of all changes. nil makes
// them run at once again. What is pending then runs when scheduled, or with the next change if that comes first.
//
// Libevent: evbuffer_defer_callbacks.
func (b *Buffer) DeferCallbacks(schedule func(run func())) {
	b.own().schedule = schedule
	b.disown()
}

// changed counts a change and runs the callbacks, or has that scheduled.
func (e *extra) changed(b *Buffer, added, removed int) {
	if e.callbacks == nil || added == 0 && removed == 0 {
		return
	}
	e.added += added
	e.removed += removed
	if e.schedule == nil {
		e.run(b)
		return
	}
	if !e.pending {
		e.pending = true
		e.schedule(func() {
			e.pending = false
			e.run(b)
			b.disown()
		})
	}
}

// run calls the callbacks. The counts start anew first, so that changes made by a callback are told once.
func (e *extra) run(b *Buffer) {
	if e.added == 0 && e.removed == 0 {
		return
	}
	ch := Change{OrigLen: b.n + e.removed - e.added, Added: e.added, Removed: e.removed}
	e.added, e.removed = 0, 0
	for c := e.callbacks; c != nil; c = c.next {
		if c.Enabled() {
			c.fn(ch)
		}
	}
}
