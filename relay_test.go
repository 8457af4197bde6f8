//go:build unix

package bev_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// relayed is a relay between two sockets, with a peer at each.
type relayed struct {
	*rig
	a, b   *bev.Conn
	pa, pb *peer
	relay  *bev.Relaying
	done   chan bev.RelayResult
}

// newRelay relays between a and b. Done is counted: twice would block the loop.
func (r *rig) newRelay(a, b *bev.Conn, o *bev.RelayOptions) *relayed {
	r.t.Helper()
	v := &relayed{rig: r, a: a, b: b, done: make(chan bev.RelayResult, 1)}
	var z bev.RelayOptions
	if o != nil {
		z = *o
	}
	z.Done = func(res bev.RelayResult) {
		select {
		case v.done <- res:
		default:
			r.t.Error("Done was called twice")
		}
	}
	r.on(func() {
		var err error
		if v.relay, err = bev.Relay(a, b, &z); err != nil {
			r.t.Errorf("Relay: %v", err)
		}
	})
	if v.relay == nil {
		r.t.FailNow()
	}
	return v
}

func (r *rig) socketRelay(o *bev.RelayOptions) *relayed {
	r.t.Helper()
	a, pa := r.adopt(nil, nil)
	b, pb := r.adopt(nil, nil)
	v := r.newRelay(a, b, o)
	v.pa, v.pb = pa, pb
	return v
}

// wantDone waits for the end of the relay.
func (v *relayed) wantDone(aToB, bToA uint64, err error) bev.RelayResult {
	v.t.Helper()
	res := await(v.t, v.done, "Done")
	if res.AToB != aToB || res.BToA != bToA || !errors.Is(res.Err, err) {
		v.t.Fatalf("the relay ended with %+v, want %d and %d bytes and %v", res, aToB, bToA, err)
	}
	return res
}

// allClosed says that nothing is left of the relay.
func (v *relayed) allClosed() {
	v.t.Helper()
	v.until(func() bool { return v.l.Stats().Conns == 0 }, "all Conns to be closed")
}

func TestRelayCarriesBothWays(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		v := r.socketRelay(nil)
		v.pa.send("hello")
		v.pb.want("hello")
		v.pb.send("world!")
		v.pa.want("world!")
		r.wantIdle("nothing is under way")
		v.pa.halfClose()
		v.pb.wantEOF("the end was passed on")
		v.pb.send("more") // the other direction goes on
		v.pa.want("more")
		if res := get(r, v.relay.Result); res.AToB != 5 || res.BToA != 10 || res.Err != nil {
			t.Fatalf("under way: %+v", res)
		}
		v.pb.close()
		v.pa.wantEOF("the other end was passed on")
		if res := v.wantDone(5, 10, nil); res.Err != nil || res.Spliced != 0 {
			t.Fatalf("the result is %+v", res)
		}
		v.pa.close()
		v.allClosed()
	})
}

func TestRelayBulkByteForByte(t *testing.T) {
	for name, o := range map[string]*bev.RelayOptions{"default": nil, "no splice": {NoSplice: true}, "low mark": {HighMark: 1}} {
		t.Run(name, func(t *testing.T) {
			r := run(t, nil)
			v := r.socketRelay(o)
			const size = 16 << 20
			sent := make(chan bool, 2)
			for _, p := range []*peer{v.pa, v.pb} {
				go func() {
					p.sendN(size)
					p.halfClose()
					sent <- true
				}()
			}
			got := make(chan bool, 2)
			for _, p := range []*peer{v.pa, v.pb} {
				go func() {
					p.wantN(size)
					p.wantEOF("all was sent")
					got <- true
				}()
			}
			for range 2 {
				await(t, sent, "a peer to send")
				await(t, got, "a peer to receive")
			}
			res := v.wantDone(size, size, nil)
			if o != nil && o.NoSplice && res.Spliced != 0 {
				t.Errorf("%d bytes spliced although told not to", res.Spliced)
			}
			v.pa.close()
			v.pb.close()
			v.allClosed()
		})
	}
}

func TestRelayHandsOnWhatWasReadBefore(t *testing.T) {
	r := run(t, nil)
	a, pa := r.adopt(nil, nil)
	b, pb := r.adopt(nil, nil)
	ta := r.spy(a, 0)
	pa.send("GET / HTTP/1.0")
	ta.want("read 14")
	r.newRelay(a, b, nil)
	pb.want("GET / HTTP/1.0")
}

func TestRelayAbortsTheOtherWhenOneFails(t *testing.T) {
	r := run(t, nil)
	a, pa := r.accept(nil, nil)
	b, pb := r.accept(nil, nil)
	v := r.newRelay(a, b, nil)
	pa.send("half a mess")
	pb.want("half a mess")
	pa.reset()
	pb.wantReset("the other end was reset")
	v.wantDone(11, 0, syscall.ECONNRESET)
	v.allClosed()
}

// A slow reader takes its bytes out of Output for longer than the idle time
// after the last byte has come from the other end.
func TestRelayIsNotIdleWhileOneEndStillTakesBytes(t *testing.T) {
	b := newLab(t, nil)
	x, far, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	y, slow, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	sink(slow)
	b.limit(slow, bev.RateLimit{Read: 1000, ReadBurst: 1000})
	var res *bev.RelayResult
	if _, err := bev.Relay(x, y, &bev.RelayOptions{IdleTimeout: time.Second, Done: func(r bev.RelayResult) { res = &r }}); err != nil {
		t.Fatal(err)
	}
	far.Write(make([]byte, 10_000))
	b.pass(8 * time.Second)
	if res != nil {
		t.Fatalf("ended while bytes moved: %+v", *res)
	}
	b.pass(5 * time.Second)
	if res == nil || !errors.Is(res.Err, os.ErrDeadlineExceeded) {
		t.Fatalf("after all was sent: %+v", res)
	}
	if n := slow.Stats().BytesRead; n != 10_000 {
		t.Fatalf("%d bytes got through, want 10000", n)
	}
}

func TestRelayClose(t *testing.T) {
	r := run(t, nil)
	a, pa := r.accept(nil, nil)
	b, pb := r.accept(nil, nil)
	v := r.newRelay(a, b, nil)
	r.on(func() {
		if err := v.relay.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := v.relay.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second Close: %v", err)
		}
	})
	pa.wantReset("a relay that was closed")
	pb.wantReset("a relay that was closed")
	v.wantDone(0, 0, net.ErrClosed)
	v.allClosed()
}

func TestRelayRefuses(t *testing.T) {
	r, other := run(t, nil), run(t, nil)
	a, _ := r.adopt(nil, nil)
	closed, _ := r.adopt(nil, nil)
	foreign, _ := other.adopt(nil, nil)
	r.on(func() {
		if _, err := bev.Relay(a, a, nil); err == nil {
			t.Error("a Conn was relayed to itself")
		}
		if _, err := bev.Relay(a, foreign, nil); err == nil {
			t.Error("Conns of two loops were relayed")
		}
		closed.Close()
		if _, err := bev.Relay(a, closed, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed Conn: %v", err)
		}
	})
}

// What a relay holds for a peer that reads nothing is its mark and one read.
func TestRelayIsBoundedWhileOneSideStalls(t *testing.T) {
	for _, noSplice := range []bool{true, false} {
		r := run(t, nil)
		const high = 128 << 10
		v := r.socketRelay(&bev.RelayOptions{HighMark: high, NoSplice: noSplice})
		most := 0
		sent := 0
		for refused := 0; refused < 20; refused++ {
			if n := v.pa.offer(64 << 20); n > 0 {
				sent, refused = sent+n, 0
			}
			r.settle()
			r.on(func() { most = max(most, v.b.Output().Len()+v.a.Input().Len()) })
		}
		if most > high+64<<10 || sent > 8<<20 {
			t.Errorf("took %d bytes for a peer that reads nothing, and held %d; the mark is %d", sent, most, high)
		}
		r.wantIdle("one side stalls")
		r.wantSuspended(v.a, bev.Reading, bev.ReasonRelay, "the other end is full")
		v.pb.send("the other way is open")
		v.pa.want("the other way is open")
		v.pb.wantN(sent)
		v.pa.sendN(1000)
		v.pb.wantN(1000)
	}
}

func TestRelayOverPairsAndFilters(t *testing.T) {
	r := run(t, nil)
	near, a := r.pair(nil)
	under, pb := r.adopt(nil, nil)
	b := r.filter(under, xorFilter(0), nil)
	tr := r.spy(near, everything)
	v := r.newRelay(a, b, nil)
	const size = 2 << 20
	r.on(func() {
		near.Write(part(0, size))
		near.CloseWrite()
	})
	pb.wantN(size)
	pb.wantEOF("the end came through the filter")
	go func() {
		pb.sendN(size)
		pb.close()
	}()
	tr.until("event reading|eof")
	tr.wantData(string(part(0, size)))
	if res := v.wantDone(size, size, nil); res.Spliced != 0 {
		t.Errorf("%d bytes were spliced past a filter", res.Spliced)
	}
	r.on(func() { near.Close() })
	v.allClosed()
}

func TestRelayWhileOneEndIsDialling(t *testing.T) {
	r := run(t, nil)
	a, pa := r.adopt(nil, nil)
	ln := netListen(t, "tcp", "127.0.0.1:0")
	var v *relayed
	pa.sendN(100_000)
	b := r.dialTo(ln, bev.Callbacks{}, nil)
	v = r.newRelay(a, b, nil)
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	pb := newPeer(t, nc)
	pb.wantN(100_000)
	pb.send("welcome")
	pa.want("welcome")
	pa.close()
	pb.wantEOF("the end was passed on")
	pb.close()
	v.wantDone(100_000, 7, nil)
}

func TestRelayWhoseDialFails(t *testing.T) {
	r := run(t, nil)
	a, pa := r.accept(nil, nil)
	pa.send("anybody there?")
	release := r.hold()
	b := make(chan *bev.Conn, 1)
	v := make(chan error, 1)
	done := make(chan bev.RelayResult, 1)
	addr := closedPort(t)
	if err := r.l.Post(func() {
		c := r.dialTo(addr, bev.Callbacks{}, nil)
		b <- c
		_, err := bev.Relay(a, c, &bev.RelayOptions{Done: func(res bev.RelayResult) { done <- res }})
		v <- err
	}); err != nil {
		t.Fatal(err)
	}
	release()
	if err := await(t, v, "Relay"); err != nil {
		t.Fatal(err)
	}
	pa.wantReset("the other end could not be reached")
	if res := await(t, done, "Done"); !errors.Is(res.Err, syscall.ECONNREFUSED) {
		t.Fatalf("the relay ended with %+v, want a refusal", res)
	}
	r.wantClosed(await(t, b, "the dialled Conn"), "it failed")
}

func TestRelayWithoutDone(t *testing.T) {
	r := run(t, nil)
	a, pa := r.adopt(nil, nil)
	b, pb := r.adopt(nil, nil)
	r.on(func() {
		if _, err := bev.Relay(a, b, nil); err != nil {
			t.Error(err)
		}
	})
	io.WriteString(pa, "x")
	pb.want("x")
	pa.close()
	pb.close()
	r.until(func() bool { return r.l.Stats().Conns == 0 }, "both ends to be closed")
}
