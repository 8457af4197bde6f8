package bev_test

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// descriptors counts those that the process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// bulk sends size bytes from pa while pb receives them.
func (v *relayed) bulk(size int) {
	v.t.Helper()
	sent := make(chan bool, 1)
	go func() {
		v.pa.sendN(size)
		sent <- true
	}()
	v.pb.wantN(size)
	await(v.t, sent, "the peer to send")
}

// spliced is how many bytes have never entered the process.
func (v *relayed) spliced() uint64 {
	v.t.Helper()
	return get(v.rig, v.relay.Result).Spliced
}

// bulkUntilSpliced sends until the relay splices.
func (v *relayed) bulkUntilSpliced() (sent int) {
	v.t.Helper()
	eventually(v.t, "the relay to splice", func() bool {
		v.bulk(4 << 20)
		sent += 4 << 20
		return v.spliced() > 0
	})
	return sent
}

func TestRelaySplicesBulkAndCopiesMessages(t *testing.T) {
	f := inject(t)
	r := run(t, nil)
	v := r.socketRelay(nil)
	for range 100 {
		v.pa.sendN(500)
		v.pb.wantN(500)
	}
	if n := f.count(sys.OpSplice, sys.OpPipe); n != 0 {
		t.Fatalf("%d calls of splice or pipe for small messages", n)
	}
	sent := v.bulkUntilSpliced()
	if f.count(sys.OpSplice) == 0 || f.count(sys.OpPipe) != 1 {
		t.Fatalf("%d calls of splice and %d of pipe for bulk", f.count(sys.OpSplice), f.count(sys.OpPipe))
	}
	for range 100 { // back to copying
		v.pa.sendN(500)
		v.pb.wantN(500)
	}
	r.settle()
	f.reset()
	before := v.spliced()
	for range 10 {
		v.pa.sendN(500)
		v.pb.wantN(500)
	}
	if n := f.count(sys.OpSplice); n != 0 || v.spliced() != before {
		t.Fatalf("%d calls of splice after the bulk was over", n)
	}
	v.bulkUntilSpliced() // with the pipe that was given back
	if n := f.count(sys.OpPipe); n != 0 {
		t.Fatalf("%d pipes made although one was given back", n)
	}
	_ = sent
	v.pa.halfClose()
	v.pb.wantEOF("the end was passed on")
	v.pb.close()
	res := v.wantDone(uint64(v.pb.got), 0, nil)
	if res.Spliced == 0 || res.Spliced > res.AToB {
		t.Errorf("the result is %+v", res)
	}
}

func TestRelayDoesNotSpliceWhatSomebodyHasToSee(t *testing.T) {
	f := inject(t)
	r := run(t, nil)
	v := r.socketRelay(nil)
	r.on(func() {
		if err := v.a.SetRateLimit(&bev.RateLimit{Read: 1 << 30}); err != nil {
			t.Error(err)
		}
	})
	v.bulk(8 << 20)
	w := r.socketRelay(&bev.RelayOptions{NoSplice: true})
	w.bulk(8 << 20)
	if n := f.count(sys.OpSplice, sys.OpPipe); n != 0 {
		t.Fatalf("%d calls of splice or pipe past a rate limit, or although NoSplice", n)
	}
}

// What waits in the kernel counts for the mark.
func TestRelayHoldsNoMoreInPipesThanItsMarkAllows(t *testing.T) {
	for _, high := range []int{0, 100_000, 4 << 20} {
		r := run(t, nil)
		v := r.socketRelay(&bev.RelayOptions{HighMark: high})
		v.bulkUntilSpliced()
		v.pa.offerAll(r, 64<<20)
		r.wantIdle("one side stalls")
		r.wantSuspended(v.a, bev.Reading, bev.ReasonRelay, "the pipe is full")
		held := get(r, func() int { return v.relay.InPipes() + v.b.Output().Len() })
		most := bev.DefaultRelayHigh // and the size of a pipe
		if high > 0 {
			most = min(most, high)
		}
		if held == 0 || held > most {
			t.Errorf("with a mark of %d, %d bytes wait, want some and at most %d", high, held, most)
		}
		v.pb.wantN(v.pa.sent - v.pb.got)
	}
}

// A mark that leaves no room for bulk leaves none for splicing.
func TestRelayWithALowMarkDoesNotSplice(t *testing.T) {
	f := inject(t)
	r := run(t, nil)
	v := r.socketRelay(&bev.RelayOptions{HighMark: 10_000})
	v.bulk(8 << 20)
	if n := f.count(sys.OpSplice, sys.OpPipe); n != 0 {
		t.Errorf("%d calls of splice or pipe below a mark of 10000", n)
	}
}

func TestRelayReadsThePipeBackWhenSpliceFails(t *testing.T) {
	for name, errno := range map[string]error{"EINVAL": syscall.EINVAL, "ENOSYS": syscall.ENOSYS} {
		t.Run(name, func(t *testing.T) {
			f := inject(t)
			r := run(t, nil)
			v := r.socketRelay(nil)
			v.bulkUntilSpliced()
			taken := v.pa.offerAll(r, 64<<20) // until the pipe is full, too
			x := f.failTimes(-1, sys.OpSplice, anyFD, errno)
			v.pb.wantN(taken)
			eventually(t, "the fault to strike", func() bool { v.bulk(4 << 20); return f.struck(x) > 0 })
			v.bulk(1 << 20) // by copying
			if n := f.struck(x); n != 1 {
				t.Errorf("splice was tried %d times after it had failed, want once", n)
			}
		})
	}
}

func TestRelayEndsWhenSpliceReportsAFailure(t *testing.T) {
	f := inject(t)
	r := run(t, nil)
	v := r.socketRelay(nil)
	v.bulkUntilSpliced()
	v.pa.offerAll(r, 64<<20)
	f.failTimes(-1, sys.OpSplice, anyFD, syscall.EIO)
	go io.Copy(io.Discard, v.pb)
	go io.Copy(v.pa, neverEnds{})
	if res := await(t, v.done, "Done"); !errors.Is(res.Err, syscall.EIO) {
		t.Errorf("the relay ended with %v, want EIO", res.Err)
	}
	v.allClosed()
}

func TestRelayEndsWhereThePollerCannotWatchForRoom(t *testing.T) {
	f := inject(t)
	r := run(t, nil)
	v := r.socketRelay(nil)
	v.bulkUntilSpliced()
	r.on(func() {
		bev.ForgetRoom(v.b) // it may have been full before
		f.fail(sys.OpEpollCtl, v.b.FD(), syscall.ENOMEM)
	})
	v.pa.offerAll(r, 64<<20)
	if res := await(t, v.done, "Done"); !errors.Is(res.Err, syscall.ENOMEM) {
		t.Errorf("the relay ended with %v, want ENOMEM", res.Err)
	}
	v.allClosed()
}

// neverEnds is an endless stream of zeros.
type neverEnds struct{}

func (neverEnds) Read(p []byte) (int, error) { return len(p), nil }

func TestRelayCopiesWhereNoPipeCanBeHad(t *testing.T) {
	f := inject(t)
	x := f.failTimes(-1, sys.OpPipe, anyFD, syscall.EMFILE)
	r := run(t, nil)
	v := r.socketRelay(nil)
	eventually(t, "a pipe to be asked for", func() bool { v.bulk(4 << 20); return f.struck(x) > 0 })
	v.bulk(4 << 20)
	if v.spliced() != 0 || f.struck(x) != 1 {
		t.Errorf("%d bytes spliced, %d pipes asked for, want none and one", v.spliced(), f.struck(x))
	}
}

// A user who has very many pipes gets tiny ones (pipe(7)), which are worse
// than none.
func TestRelayCopiesWherePipesAreTiny(t *testing.T) {
	r := run(t, nil)
	v := r.socketRelay(nil)
	before := descriptors(t)
	f := inject(t)
	x := f.failTimes(-1, sys.OpFcntl, anyFD, syscall.EPERM)
	eventually(t, "a pipe to be asked for", func() bool { v.bulk(4 << 20); return f.struck(x) > 0 })
	v.bulk(4 << 20)
	if v.spliced() != 0 || f.count(sys.OpPipe) != 1 || descriptors(t) != before {
		t.Errorf("%d bytes spliced, %d pipes made, %d descriptors of which there were %d: want none, one, which is closed",
			v.spliced(), f.count(sys.OpPipe), descriptors(t), before)
	}
}

func TestRelaySplicesThroughAPipeOfTheUsualSize(t *testing.T) {
	r := run(t, nil)
	v := r.socketRelay(nil)
	f := inject(t)
	x := f.failTimes(4, sys.OpFcntl, anyFD, syscall.EPERM)
	v.bulkUntilSpliced()
	if n := f.struck(x); n != 4 {
		t.Errorf("the larger pipes were refused %d times, want 4", n)
	}
	v.bulk(8 << 20)
}

func TestRelaySplicesInOrderPastAStall(t *testing.T) {
	r := run(t, nil)
	v := r.socketRelay(nil)
	v.bulkUntilSpliced()
	for range 5 {
		taken := v.pa.offerAll(r, 64<<20)
		if taken >= 8<<20 {
			t.Fatalf("took %d bytes for a peer that reads nothing", taken)
		}
		r.wantIdle("the destination stalls")
		v.pb.wantN(taken)
	}
	v.pa.offerAll(r, 64<<20)
	v.pa.halfClose()
	v.pb.wantN(v.pa.sent - v.pb.got)
	v.pb.wantEOF("the end came after all bytes")
}

func TestRelayFailsWhileThePipeHoldsBytes(t *testing.T) {
	r := run(t, nil)
	a, pa := r.accept(nil, nil)
	b, pb := r.accept(nil, nil)
	v := r.newRelay(a, b, nil)
	v.pa, v.pb = pa, pb
	v.bulkUntilSpliced()
	pa.offerAll(r, 64<<20)
	pb.reset()
	pa.wantReset("the destination is gone")
	if res := await(t, v.done, "Done"); res.Err == nil {
		t.Error("a reset was not an error")
	}
	v.allClosed()
}

// The leak check of the rig looks at descriptors; this one says that they go
// back while the Loop still lives, but for the pipes that it keeps.
func TestRelayGivesPipesBack(t *testing.T) {
	r := run(t, nil)
	before := 0
	for i := range 5 {
		v := r.socketRelay(nil)
		v.bulkUntilSpliced()
		v.pa.close()
		v.pb.wantEOF("the end was passed on")
		v.pb.close()
		await(t, v.done, "Done")
		v.allClosed()
		switch n := descriptors(t); i {
		case 0:
			before = n
		default:
			if n != before {
				t.Fatalf("%d descriptors after relay %d, %d after the first", n, i, before)
			}
		}
	}
}

func TestLoopClosesWhileARelaySplices(t *testing.T) {
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.start(ctx)
	v := r.socketRelay(nil)
	v.bulkUntilSpliced()
	v.pa.offerAll(r, 64<<20) // and the pipe holds bytes
	r.l.Stop()
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestRelayWhoseConnIsClosedByOthersGivesThePipeBack(t *testing.T) {
	r := run(t, nil)
	for _, which := range []int{0, 1} {
		v := r.socketRelay(nil)
		v.bulkUntilSpliced()
		v.pa.offerAll(r, 64<<20)
		r.on(func() {
			if which == 0 {
				v.a.Close()
				v.b.Close()
			} else {
				v.b.Close()
				v.a.Close()
			}
		})
		v.allClosed()
	}
}
