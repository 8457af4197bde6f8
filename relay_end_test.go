//go:build unix

package bev_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// How a relay ends, but for the good end of both directions, which is in
// relay_test.go.

// Somebody who closes an end of a relay must not leave the other end to wait
// for ever for bytes that nobody brings.
func TestRelayEndsWhenSomebodyClosesAnEnd(t *testing.T) {
	for name, close := range map[string]func(c *bev.Conn){
		"Close":           func(c *bev.Conn) { c.Close() },
		"Abort":           func(c *bev.Conn) { c.Abort() },
		"CloseAfterFlush": func(c *bev.Conn) { c.CloseAfterFlush(0) },
		"Handle":          func(c *bev.Conn) { c.Handle().Close() },
	} {
		for _, end := range []string{"a", "b"} {
			t.Run(name+" of "+end, func(t *testing.T) {
				r := run(t, nil)
				a, pa := r.accept(nil, nil)
				b, pb := r.accept(nil, nil)
				v := r.newRelay(a, b, nil)
				pa.send("hello")
				pb.want("hello")
				pb.send("world!")
				pa.want("world!")
				closed, near, far := a, pa, pb
				if end == "b" {
					closed, near, far = b, pb, pa
				}
				r.on(func() { close(closed) })
				far.wantReset("the other end was closed")
				if name == "CloseAfterFlush" {
					near.wantEOF("a flushed end ends well")
				} else {
					near.wantReset("what it got was not all")
				}
				res := v.wantDone(5, 6, net.ErrClosed)
				if !strings.Contains(res.Err.Error(), "closed from outside") {
					t.Errorf("Done was told %q", res.Err)
				}
				near.close()
				v.allClosed()
			})
		}
	}
}

// CloseAfterFlush of one end sends what had come for its peer.
func TestRelayEndThatIsFlushedSendsWhatItHolds(t *testing.T) {
	for _, noSplice := range []bool{true, false} {
		r := run(t, nil)
		v := r.socketRelay(&bev.RelayOptions{NoSplice: noSplice})
		sent := v.pa.offerAll(r, 64<<20)
		moved := get(r, v.relay.Result).AToB + uint64(get(r, func() int { return v.a.Input().Len() }))
		r.on(func() { v.b.CloseAfterFlush(-1) })
		v.pa.wantReset("the other end was closed")
		res := await(t, v.done, "Done")
		if res.AToB < moved || int(res.AToB) > sent || !errors.Is(res.Err, net.ErrClosed) {
			t.Fatalf("%d bytes sent and at least %d handed on, but the result is %+v", sent, moved, res)
		}
		v.pb.wantN(int(res.AToB))
		v.pb.wantEOF("a flushed end ends well")
		v.pb.close()
		v.allClosed()
	}
}

// CloseWrite by somebody else leaves nowhere to put what comes.
func TestRelayEndsWhenSomebodyEndsTheSending(t *testing.T) {
	r := run(t, nil)
	a, pa := r.accept(nil, nil)
	b, pb := r.accept(nil, nil)
	v := r.newRelay(a, b, nil)
	r.on(func() {
		if err := b.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	pb.wantEOF("the sending was ended")
	pa.send("anybody?")
	pa.wantReset("nobody takes this")
	v.wantDone(0, 0, net.ErrClosed)
	pb.close()
	v.allClosed()
}

// A relay is closed from inside another callback, and Done finds itself alone.
func TestRelayDoneIsNeverCalledInsideTheCall(t *testing.T) {
	b := newLab(t, nil)
	far, x := b.wire(nil)
	y, near := b.wire(nil)
	inside, told := false, false
	r, err := bev.Relay(x, y, &bev.RelayOptions{Done: func(bev.RelayResult) {
		told = true
		if inside {
			t.Error("Done was called inside the call that ended the relay")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	inside = true
	y.Close()
	inside = false
	if err := r.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close of a relay that is over: %v", err)
	}
	b.pass(0)
	if !told || !x.Closed() {
		t.Fatalf("one end was closed: Done called %v, the other end closed %v", told, x.Closed())
	}
	far.Close()
	near.Close()
}

// What is under an end of a relay goes with it.
func TestRelayEndsOverFilters(t *testing.T) {
	r := run(t, nil)
	a, pa := r.accept(nil, nil)
	under, pb := r.accept(nil, nil)
	b := r.filter(under, nil, nil)
	v := r.newRelay(a, b, nil)
	pa.send("hello")
	pb.want("hello")
	r.on(func() { b.Close() })
	pa.wantReset("the other end was closed")
	pb.wantReset("what it got was not all")
	v.wantDone(5, 0, net.ErrClosed)
	pb.close()
	v.allClosed()
}

func TestRelayEndsWithItsLoop(t *testing.T) {
	r := newRig(t, nil)
	r.start(context.Background())
	a, pa := r.accept(nil, nil)
	b, pb := r.accept(nil, nil)
	v := r.newRelay(a, b, nil)
	v.pa, v.pb = pa, pb
	v.pa.send("hello")
	v.pb.want("hello")
	if err := r.l.Close(); err != nil {
		t.Fatal(err)
	}
	r.wait()
	v.pa.wantReset("the loop was closed")
	v.pb.wantReset("the loop was closed")
	select {
	case res := <-v.done:
		t.Errorf("a Loop that was closed called Done with %+v", res)
	default:
	}
}

// A Shutdown would cut a relay's streams in two; it waits instead.
func TestShutdownLetsRelaysFinish(t *testing.T) {
	r := newRig(t, nil)
	r.start(context.Background())
	a, pa := r.accept(nil, nil)
	b, pb := r.accept(nil, nil)
	plain, pc := r.accept(nil, nil)
	v := r.newRelay(a, b, nil)
	pa.send("question")
	pb.want("question")
	done := shutdown(t.Context(), r.l.Shutdown)
	pc.wantEOF("other conversations are ended")
	pc.close()
	r.until(plain.Closed, "the other conversation to be over")
	stillWaiting(r, done, "the relay goes on")
	pb.send("answer")
	pa.want("answer")
	pa.close()
	pb.wantEOF("the end was passed on")
	pb.close()
	v.wantDone(8, 6, nil)
	if err := await(t, done, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	r.wait()
}

func TestShutdownCutsRelaysOffInTheEnd(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	pa := r.call(h.ln)
	h.want(1, "the caller")
	b, pb := r.accept(nil, nil)
	v := r.newRelay(h.accepted()[0], b, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := shutdown(ctx, h.ln.Shutdown)
	stillWaiting(r, done, "the relay goes on")
	cancel()
	var cut *bev.ShutdownError
	if err := await(t, done, "Shutdown"); !errors.As(err, &cut) || cut.Conns != 2 {
		t.Errorf("Shutdown: %v, want both ends of the relay to count as cut off", err)
	}
	pa.wantReset("cut off")
	pb.wantReset("cut off")
	v.wantDone(0, 0, net.ErrClosed)
}

func TestRelayIdleTimeout(t *testing.T) {
	b := newLab(t, nil)
	client, x, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	y, server, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[*bev.Conn]error)
	for _, c := range []*bev.Conn{client, server} {
		c.SetCallbacks(bev.Callbacks{
			Read:  func(c *bev.Conn) { c.Input().Reset() },
			Event: func(c *bev.Conn, _ bev.Event, err error) { told[c] = err },
		})
		c.Enable(bev.Reading)
	}
	var res *bev.RelayResult
	_, err = bev.Relay(x, y, &bev.RelayOptions{IdleTimeout: time.Second, Done: func(r bev.RelayResult) { res = &r }})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 { // bytes one way keep both alive
		client.WriteString("tick")
		b.pass(900 * time.Millisecond)
	}
	if res != nil {
		t.Fatalf("ended while bytes moved: %+v", *res)
	}
	b.pass(time.Second)
	if res == nil || !errors.Is(res.Err, os.ErrDeadlineExceeded) || res.AToB != 16 {
		t.Fatalf("after a second of silence: %+v", res)
	}
	if want := "bev: relay: no byte has moved for 1s: i/o timeout"; res.Err.Error() != want {
		t.Errorf("Done was told %q, want %q", res.Err, want)
	}
	if !x.Closed() || !y.Closed() {
		t.Fatal("an idle relay left its Conns open")
	}
	for _, c := range []*bev.Conn{client, server} {
		if !errors.Is(told[c], syscall.ECONNRESET) {
			t.Errorf("a peer of an idle relay was told %v: it must not take silence for an end", told[c])
		}
	}
}

// A timeout that a Conn had before is kept, and ends the relay.
func TestRelayKeepsTimeoutsThatWereSetBefore(t *testing.T) {
	b := newLab(t, nil)
	client, x := b.wire(nil)
	y, server := b.wire(nil)
	sink(server)
	x.SetTimeouts(time.Second, 0)
	var res *bev.RelayResult
	if _, err := bev.Relay(x, y, &bev.RelayOptions{Done: func(r bev.RelayResult) { res = &r }}); err != nil {
		t.Fatal(err)
	}
	client.WriteString("hello")
	b.pass(900 * time.Millisecond)
	if res != nil {
		t.Fatalf("ended before the timeout: %+v", *res)
	}
	b.pass(time.Second)
	if res == nil || !errors.Is(res.Err, os.ErrDeadlineExceeded) || !y.Closed() {
		t.Fatalf("after a read timeout of one end: %+v", res)
	}
}

// What a peer has said and ended before there was a relay, as to a proxy that
// has to read a request before it knows where to.
func TestRelayHandsOnAnEndThatWasTold(t *testing.T) {
	r := run(t, nil)
	a, pa := r.adopt(nil, nil)
	b, pb := r.adopt(nil, nil)
	ta := r.spy(a, 0)
	pa.send("request")
	pa.halfClose()
	ta.until("event reading|eof")
	v := r.newRelay(a, b, nil)
	pb.want("request")
	pb.wantEOF("the end had come before the relay")
	pb.send("answer")
	pa.want("answer")
	pb.close()
	v.wantDone(7, 6, nil)
	pa.close()
	v.allClosed()
}

func TestRelayRefusesWhatIsSpoilt(t *testing.T) {
	r := run(t, nil)
	a, _ := r.adopt(nil, nil)
	shut, _ := r.adopt(nil, nil)
	failed, pf := r.accept(nil, nil)
	tf := r.spy(failed, 0)
	pf.reset()
	tf.until("event reading|error: reset")
	r.on(func() {
		if err := shut.CloseWrite(); err != nil {
			t.Error(err)
		}
		for _, c := range []*bev.Conn{shut, failed} {
			if _, err := bev.Relay(a, c, nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Relay with a Conn that cannot send any more: %v", err)
			}
			if _, err := bev.Relay(c, a, nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Relay from a Conn that cannot send any more: %v", err)
			}
		}
	})
	r.wantOpen(a, "a refusal changes nothing")
}
