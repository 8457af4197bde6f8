//go:build unix

package bev_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

// start runs the group; wait returns what Run returned.
func (k *crew) start(ctx context.Context) {
	go func() { k.ended <- k.g.Run(ctx) }()
}

func (k *crew) wait() error {
	k.t.Helper()
	return await(k.t, k.ended, "LoopGroup.Run to return")
}

// alive says that each Loop runs what is posted to it.
func (k *crew) alive() {
	k.t.Helper()
	for _, r := range k.rigs {
		r.on(func() {})
	}
}

// together keeps all loops busy until each of them is, then has each go on with
// f, in a callback.
func (k *crew) together(f func(i int)) {
	k.t.Helper()
	var busy sync.WaitGroup
	busy.Add(len(k.rigs))
	for i, r := range k.rigs {
		if err := r.l.Post(func() { busy.Done(); busy.Wait(); f(i) }); err != nil {
			k.t.Fatal(err)
		}
	}
}

// Two Loops that close each other do not wait for each other.
func TestGroupCloseFromCallbacks(t *testing.T) {
	k := newCrew(t, 3, nil)
	k.start(t.Context())
	k.together(func(i int) {
		if err := k.g.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := k.wait(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: %v, want net.ErrClosed", err)
	}
	if err := k.g.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

// What is dropped with a Loop may call the user's functions, and they the Loop.
func TestLoopThatClosesMayBeCalledFromRelease(t *testing.T) {
	for name, end := range map[string]func(l *bev.Loop){
		"Close":  func(l *bev.Loop) { l.Post(func() { l.Close() }) },
		"Goexit": func(l *bev.Loop) { l.Post(runtime.Goexit) },
	} {
		t.Run(name, func(t *testing.T) {
			k := newCrew(t, 2, nil)
			l := k.rigs[0].l
			released := make(chan bev.LoopStats, 1)
			var out buffer.Buffer
			out.AppendOwned([]byte("x"), func() {
				s := k.g.Stats()
				l.Stats()
				if err := l.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				released <- s
			})
			c, _, err := bev.Pair(l, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.WriteBuffer(&out); err != nil { // nobody reads it
				t.Fatal(err)
			}
			k.start(t.Context())
			end(l)
			k.wait()
			await(t, released, "what was in Output to be released")
		})
	}
}

// Figures may be asked for at any time, also when a Run begins or ends, and by
// others than those who set a Loop up.
func TestGroupStatsAtAnyTime(t *testing.T) {
	k := newCrew(t, 2, nil)
	for range 100 {
		k.start(t.Context())
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			for range 50 {
				k.g.Stats()
			}
		}()
		for range 10 {
			k.g.Stats()
		}
		k.g.Stop()
		k.wait()
		for _, r := range k.rigs {
			r.l.AfterFunc(time.Hour, func() {}).Stop() // it is ours now
		}
		await(t, asked, "the others to have asked")
	}
}

// While no Run goes on, there is what the last one has left.
func TestGroupStatsBetweenRuns(t *testing.T) {
	k := newCrew(t, 2, nil)
	if s := k.g.Stats(); s.Backend == "" || s.Ticks != 0 {
		t.Errorf("before the first Run: %+v", s)
	}
	for _, r := range k.rigs {
		r.l.AfterFunc(time.Hour, func() {})
	}
	k.start(t.Context())
	k.alive()
	k.g.Stop()
	k.wait()
	if s := k.g.Stats(); s.Timers != 2 || s.Ticks == 0 {
		t.Errorf("after a Run with two timers: %+v", s)
	}
	k.start(t.Context())
	k.alive()
	if s := k.g.Stats(); s.Timers != 2 {
		t.Errorf("in a Run with two timers: %+v", s)
	}
	k.g.Close()
	k.wait()
	if s := k.g.Stats(); s.Sources != 0 || s.Ticks == 0 {
		t.Errorf("of a group that is closed: %+v", s)
	}
}
