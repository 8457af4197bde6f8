package main

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/bevgo/bev"
)

// benchPairs holds very many Conns in one process and one loop. They are ends
// of pairs, so neither descriptors nor the kernel set a limit: what is left is
// the library's own memory, its timers, and what so many objects mean for the
// collector.
type benchPairs struct {
	JSON    bool          `name:"json" help:"Print one line of JSON instead of a table."`
	Conns   int           `default:"1000000" help:"Conns to hold, two a pair (default ${default})."`
	Active  int           `default:"-1" help:"How many of them echo 64 bytes, again and again; -1 for one in a hundred."`
	Every   time.Duration `default:"1s" help:"How often each of those does (default ${default})."`
	Hold    time.Duration `default:"5s" help:"How long to hold them (default ${default})."`
	Timeout time.Duration `default:"1h" help:"The timeouts that are armed on each."`
}

// Validate is called by kong.
func (b *benchPairs) Validate() error {
	if b.Conns < 2 || b.Active > b.Conns || b.Every <= 0 || b.Hold <= 0 || b.Timeout <= 0 {
		return errors.New("--conns must be above 1, --active at most --conns, --every, --hold and --timeout above 0")
	}
	return nil
}

// pairsRun is one that is under way. The loop's goroutine owns it.
type pairsRun struct {
	*benchPairs
	loop    *bev.Loop
	bar     *progress
	ends    []*bev.Conn
	message []byte
	active  []pairEcho
	echoing bool
	ops     int64
	failed  error
	latency *hdrhistogram.Histogram
	tick    *hdrhistogram.Histogram // from the end of one wait to the next
	delay   *hdrhistogram.Histogram // of posted calls, by the goroutine that posts
	result  benchResult
}

// pairEcho is a pair that is active: a sends, its partner sends back.
type pairEcho struct {
	a     *bev.Conn
	waits bool
	sent  time.Time
}

// Run is called by kong.
func (b *benchPairs) Run(std stdio) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	r := &pairsRun{benchPairs: b, loop: loop, bar: newProgress(std.err), latency: latencies(), tick: latencies(), delay: latencies()}
	r.message = newPattern(idleMessage).bytes[:idleMessage]
	defer r.bar.clear()
	if r.Active < 0 {
		r.Active = max(r.Conns/100, 2)
	}
	for _, step := range []func() error{r.open, r.hold, r.close} {
		if err := step(); err != nil {
			return err
		}
	}
	r.bar.clear()
	return r.result.print(std.out, b.JSON)
}

// open makes the pairs. The loop does not run yet, so this goroutine owns it.
func (r *pairsRun) open() error {
	debug.FreeOSMemory()
	before, err := memory(selfPID)
	if err != nil {
		return err
	}
	start := time.Now()
	r.ends = make([]*bev.Conn, 0, r.Conns/2) // one of each pair: 8 bytes of ours
	o := &bev.ConnOptions{
		ReadWatermark: bev.Watermark{High: 64 << 10},
		ReadTimeout:   r.Timeout,
		WriteTimeout:  r.Timeout,
		IdleTimeout:   r.Timeout,
	}
	sender, echo := bev.Callbacks{Read: r.back}, bev.Callbacks{Read: func(c *bev.Conn) { _ = c.WriteBuffer(c.Input()) }} // never full: see send
	for range r.Conns / 2 {
		a, b, err := bev.Pair(r.loop, o)
		if err != nil {
			return err
		}
		a.SetCallbacks(sender)
		b.SetCallbacks(echo)
		a.Enable(bev.Reading)
		b.Enable(bev.Reading)
		r.ends = append(r.ends, a)
		r.bar.show("opening", 2*len(r.ends), r.Conns, "")
	}
	res := &r.result
	res.Conns = 2 * len(r.ends)
	res.ConnectRate = float64(res.Conns) / time.Since(start).Seconds()
	debug.FreeOSMemory()
	after, err := memory(selfPID)
	res.BytesPerConn = float64(after-before) / float64(res.Conns)
	return err
}

// hold runs the loop, with some of them echoing and the collector at work.
func (r *pairsRun) hold() error {
	r.active = make([]pairEcho, max(r.Active/2, 1))
	stride := len(r.ends) / len(r.active) // all over the memory, not in one corner of it
	r.echoing = true
	var woke time.Time
	r.loop.Check(func() { woke = time.Now() })
	r.loop.Prepare(func(time.Duration) {
		if !woke.IsZero() {
			_ = r.tick.RecordValue(time.Since(woke).Nanoseconds()) // longer than a hundred seconds
		}
	})
	for i := range r.active {
		e := &r.active[i]
		e.a = r.ends[i*stride]
		e.a.SetData(e)
		r.loop.AfterFunc(r.Every*time.Duration(i)/time.Duration(len(r.active)), func() { r.begin(e) })
	}
	var others sync.WaitGroup
	others.Go(func() { r.collect(); r.loop.Stop() })
	stop := make(chan struct{})
	others.Go(func() { r.probe(stop) })
	start := time.Now()
	err := r.loop.Run(context.Background())
	close(stop)
	others.Wait()
	res := &r.result
	res.Ops, res.OpsPerSec = r.ops, float64(r.ops)/time.Since(start).Seconds()
	res.fromHistogram(r.latency)
	us := func(h *hdrhistogram.Histogram, q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e3 }
	res.TickP50, res.TickP99, res.TickMax = us(r.tick, 50), us(r.tick, 99), us(r.tick, 100)
	res.DelayP50, res.DelayP99, res.DelayMax = us(r.delay, 50), us(r.delay, 99), us(r.delay, 100)
	return errors.Join(err, r.failed)
}

// collect has the collector run all the time that is left between its runs,
// which is more than any program would ask of it.
func (r *pairsRun) collect() {
	pauses := startPauses()
	n, start := 0, time.Now()
	var collecting time.Duration
	for time.Since(start) < r.Hold {
		t := time.Now()
		runtime.GC()
		collecting += time.Since(t)
		n++
		r.bar.show("holding", int(time.Since(start).Milliseconds()), int(r.Hold.Milliseconds()), " ms")
		time.Sleep(r.Hold / collections)
	}
	p, res := pauses.read(), &r.result
	res.GCPauses, res.GCPauseP50, res.GCPauseP99, res.GCPauseMax = p.N, p.P50, p.P99, p.Max
	res.GCMillis = float64(collecting.Microseconds()) / 1e3 / float64(n)
}

// probe asks, a thousand times a second, how long the loop takes to get to a
// call from elsewhere: for the rest of a tick, and to be woken.
func (r *pairsRun) probe(stop <-chan struct{}) {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	ran := make(chan struct{}, 1)
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		start := time.Now()
		if r.loop.Post(func() { ran <- struct{}{} }) != nil {
			return
		}
		select {
		case <-stop:
			return
		case <-ran:
			_ = r.delay.RecordValue(time.Since(start).Nanoseconds()) // longer than a hundred seconds
		}
	}
}

func (r *pairsRun) begin(e *pairEcho) {
	r.send(e)
	var t *bev.Timer
	t = r.loop.Every(r.Every, func() {
		switch {
		case !r.echoing:
			t.Stop()
		case !e.waits:
			r.send(e)
		}
	})
}

func (r *pairsRun) send(e *pairEcho) {
	e.waits, e.sent = true, time.Now()
	if _, err := e.a.Write(r.message); err != nil {
		r.fail(err)
	}
}

// back is what comes back.
func (r *pairsRun) back(c *bev.Conn) {
	if c.Input().Len() < idleMessage {
		return
	}
	e, _ := c.Data().(*pairEcho)
	if e == nil || !e.waits || !bytes.Equal(c.Input().ToBytes(), r.message) {
		r.fail(errOtherBytes)
		return
	}
	c.Input().Drain(idleMessage)
	e.waits = false
	r.ops++
	_ = r.latency.RecordValue(time.Since(e.sent).Nanoseconds()) // longer than a hundred seconds
}

func (r *pairsRun) fail(err error) {
	r.failed = err
	r.loop.Stop()
}

// close closes them all with their loop.
func (r *pairsRun) close() error {
	start := time.Now()
	r.echoing = false
	err := r.loop.Close()
	r.result.CloseSeconds = time.Since(start).Seconds()
	return err
}
