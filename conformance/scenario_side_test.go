//go:build interop

package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bevgo/bev"
)

// scenarioSide runs scenarios on bev and answers as libevent/bufferevent.c
// does. It lives in a synctest bubble, where time stands still unless
// everybody waits for it.
type scenarioSide struct {
	loop    *bev.Loop
	objects []*object // in the order in which they were made
	trace   []byte    // of the step under way
	results []string

	// inside has the commands of each step run on the loop, as a callback of
	// the user's would; else they run while the loop does not.
	inside bool

	self      *object     // whose callback runs, for "@"
	calls     int         // callbacks so far
	stepStart int         // those before this step
	others    []int       // descriptors that commands have opened for others
	nofile    unix.Rlimit // as it was before a command changed it
	panicked  any         // what a callback panicked with
}

// object is a thing that a scenario has given a name.
type object struct {
	name      string
	conn      *bev.Conn // nil: none, or closed
	listener  *bev.Listener
	under     *object // of a filter
	peer      int     // the other end, -1: none
	peerEnded byte    // what reading it met: 0, E or R
	on        map[string][]string
	accepted  int  // by a listener, so far
	ended     bool // reading it has come to its end

	written, peerWritten int // bytes, for the next one's value
	got, peerGot         int // bytes taken
	gotHash, peerHash    uint64
}

// spinning is when callbacks count as never ending, and idlePasses how many
// passes without anything to see make the end of a step.
const (
	spinning   = 2000
	idlePasses = 8
)

// runScenario runs s and returns the trace, a line for each step.
func runScenario(s scenario, inside bool) (results []string, err error) {
	loop, err := bev.NewLoop(&bev.LoopOptions{BlockingWait: true, Logger: slog.New(slog.DiscardHandler), Priorities: s.priorities()})
	if err != nil {
		return nil, err
	}
	<-time.After(time.Millisecond) // a loop's clock is past zero when it has begun
	side := &scenarioSide{loop: loop, inside: inside}
	defer side.close()
	defer func() {
		if v := recover(); v != nil {
			results, err = side.results, fmt.Errorf("step %d: %v", len(side.results)+1, v)
		}
	}()
	for _, step := range s.steps {
		side.step(step)
	}
	return side.results, nil
}

func (s *scenarioSide) close() {
	s.loop.Close()
	for _, o := range s.objects {
		o.closePeer()
	}
	s.closeOthers()
	if s.nofile.Cur != 0 {
		s.descriptors(false)
	}
}

// step does the commands of one step, runs the loop until nothing happens, and
// adds a line to the trace.
func (s *scenarioSide) step(commands []string) {
	at := slices.IndexFunc(commands, isAwait)
	if at < 0 {
		at = len(commands)
	}
	switch {
	case isAdvance(commands[0]):
		l := &line{text: commands[0], rest: commands[0]}
		l.word()
		for range l.int() {
			<-time.After(time.Millisecond) // of the bubble's time, which takes none
			s.settle()
		}
	case s.inside:
		s.post(func() { s.commands(commands[:at]) })
	default:
		s.commands(commands[:at])
	}
	for _, c := range commands[at:] {
		if op, what, _ := strings.Cut(c, " "); op == "await" {
			s.await(what)
		} else {
			s.gulp(s.find(what))
		}
	}
	s.settle()
	s.states()
	s.results = append(s.results, string(s.trace))
	s.trace, s.stepStart = s.trace[:0], s.calls
}

func (s *scenarioSide) commands(list []string) {
	for _, c := range list {
		s.command(c)
	}
}

func (s *scenarioSide) post(f func()) {
	err := s.loop.Post(func() {
		defer s.catch()
		f()
	})
	if err != nil {
		panic(err)
	}
}

// catch keeps what a command panicked with for the one who runs the loop.
func (s *scenarioSide) catch() {
	if v := recover(); v != nil && s.panicked == nil {
		s.panicked = v
	}
}

// run runs the loop until done, which is asked once in each tick, in its posted
// calls, says so.
func (s *scenarioSide) run(done func() bool) {
	var again func()
	again = func() {
		if done() || s.panicked != nil {
			s.loop.Stop()
			return
		}
		s.post(again)
	}
	s.post(again)
	err := s.loop.Run(context.Background())
	if s.panicked != nil {
		panic(s.panicked)
	}
	if err != nil {
		panic(err)
	}
}

// settle runs the loop until nothing has happened for a while.
func (s *scenarioSide) settle() {
	var last uint64
	idle := 0
	s.run(func() bool {
		now := s.fingerprint()
		idle++
		if now != last {
			last, idle = now, 0
		}
		if s.calls-s.stepStart > spinning {
			s.note("spin")
			return true
		}
		return idle == idlePasses
	})
}

// await runs the loop until the trace has a callback: what the network does
// has no fixed time.
func (s *scenarioSide) await(what string) {
	needle := " " + what + ":"
	missing := 2000000
	s.run(func() bool {
		missing--
		return missing == 0 || strings.Contains(string(s.trace), needle)
	})
	if missing == 0 {
		s.note("missing:%s", what)
	}
}

// gulp has a peer read for as long as there is something, running the loop in
// between.
func (s *scenarioSide) gulp(o *object) {
	for before := -1; before != o.peerGot; {
		before = o.peerGot
		s.settle()
		o.peerRead(1 << 30)
	}
}

func (s *scenarioSide) note(format string, args ...any) {
	s.trace = fmt.Appendf(append(s.trace, ' '), format, args...)
}

// fingerprint changes when anything happens that can be seen.
func (s *scenarioSide) fingerprint() uint64 {
	stats := s.loop.Stats()
	h := stats.Events + stats.BytesRead + stats.BytesWritten
	h = h*31 + uint64(s.calls)
	for _, o := range s.objects {
		if c := o.conn; c != nil {
			st := c.Stats()
			for _, n := range []uint64{uint64(st.Input), uint64(st.Output), uint64(st.Suspended[0]), uint64(st.Suspended[1])} {
				h = h*31 + n
			}
		}
		h = h*31 + uint64(o.pending())
	}
	return h + 1
}

// states ends the line of a step with what there is now.
func (s *scenarioSide) states() {
	s.trace = append(s.trace, '\t')
	for _, o := range s.objects {
		o.checkGone() // and what is under it, before that is written down
	}
	for _, o := range s.objects {
		switch {
		case o.conn != nil:
			e := []byte("--")
			if o.conn.Enabled()&bev.Reading != 0 {
				e[0] = 'r'
			}
			if o.conn.Enabled()&bev.Writing != 0 {
				e[1] = 'w'
			}
			s.note("%s=%d,%d,%s", o.name, o.conn.Input().Len(), o.conn.Output().Len(), e)
		case o.peer < 0 || o.got > 0:
			s.note("%s=gone", o.name)
		}
		if o.got > 0 {
			s.trace = fmt.Appendf(s.trace, ",got%d:%08x", o.got, uint32(o.gotHash))
		}
		if o.peer >= 0 {
			s.note("%s'=%d", o.name, o.pending())
		}
		if o.peerGot > 0 || o.peerEnded != 0 {
			ended := o.peerEnded
			if ended == 0 {
				ended = '.'
			}
			s.note("%s'got%d:%08x%c", o.name, o.peerGot, uint32(o.peerHash), ended)
		}
	}
}

// checkGone forgets a Conn that is closed, and those under it: a filter takes
// them with it, whatever it still does to send what they hold.
func (o *object) checkGone() {
	if o.conn != nil && o.conn.Closed() {
		for ; o != nil; o = o.under {
			o.conn = nil
		}
	}
}

// pending is how many bytes lie in the kernel for a peer.
func (o *object) pending() int {
	if o.peer < 0 {
		return -1
	}
	n, err := unix.IoctlGetInt(o.peer, unix.TIOCINQ)
	if err != nil {
		return -1
	}
	return n
}

func (o *object) closePeer() {
	if o.peer >= 0 {
		unix.Close(o.peer)
		o.peer = -1
	}
}

// listenFor sets the callbacks named by letters: r, w, e, or - for none.
func (s *scenarioSide) listenFor(o *object, which string) {
	var cb bev.Callbacks
	if strings.Contains(which, "r") {
		cb.Read = func(c *bev.Conn) { s.called(o, "read", "%s.r:%d", o.name, c.Input().Len()) }
	}
	if strings.Contains(which, "w") {
		cb.Write = func(c *bev.Conn) { s.called(o, "write", "%s.w:%d", o.name, c.Output().Len()) }
	}
	if strings.Contains(which, "e") {
		cb.Event = func(_ *bev.Conn, what bev.Event, err error) {
			text := fmt.Sprintf("%s.e:%02x", o.name, uint16(what))
			if what&bev.EventError != 0 {
				text += "/" + errorName(err)
			}
			if what&(bev.EventEOF|bev.EventError) != 0 {
				o.ended = true
			}
			s.called(o, "event", "%s", text)
		}
	}
	o.conn.SetCallbacks(cb)
}

// errorName is the kernel's name for an error, 0 where there is none.
func errorName(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return "0"
}

// called notes a callback and runs its commands.
func (s *scenarioSide) called(o *object, when, format string, args ...any) {
	defer s.catch()
	s.calls++
	s.note(format, args...)
	outer := s.self
	s.self = o
	s.commands(o.on[when])
	s.self = outer
}
