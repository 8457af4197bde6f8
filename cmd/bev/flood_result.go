package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// floodResult is what an attack did to the server. What was not measured is
// left out.
type floodResult struct {
	Attack  string  `json:"attack"`
	Seconds float64 `json:"seconds"`

	Opened int    `json:"opened"`
	Failed int    `json:"failed"`
	Why    string `json:"failed_why,omitempty"` // the first of them
	Ended  int    `json:"ended_by_server"`
	Open   int    `json:"open_at_end"`

	Sent     int64 `json:"bytes_sent"`
	Received int64 `json:"bytes_received"`

	Echoes  int     `json:"bystander_echoes"`
	Slowest float64 `json:"bystander_slowest_ms"`
	Trouble string  `json:"bystander_trouble,omitempty"`
	Refused string  `json:"newcomer_trouble,omitempty"`
	NewMs   float64 `json:"newcomer_ms"`

	// Of the server, with its pid.
	Server    bool    `json:"server_measured"`
	Before    float64 `json:"memory_before_mib,omitempty"`
	PeakMiB   float64 `json:"memory_peak_growth_mib,omitempty"`
	GrowthMiB float64 `json:"memory_growth_mib,omitempty"` // in the quiet, as "bev bench flood" has it
	AfterMiB  float64 `json:"memory_after_growth_mib,omitempty"`
	CPUDuring float64 `json:"cpu_percent_during,omitempty"`
	CPUQuiet  float64 `json:"cpu_percent,omitempty"` // in the quiet, as "bev bench flood" has it
	FDsBefore int     `json:"descriptors_before,omitempty"`
	FDsQuiet  int     `json:"descriptors,omitempty"`
	FDsAfter  int     `json:"descriptors_after,omitempty"`
}

// print writes r for a person, or as JSON.
func (r *floodResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	row := func(name, format string, v ...any) {
		fmt.Fprintf(w, "%-26s "+format+"\n", append([]any{name}, v...)...)
	}
	row("attack", "%s, %.1f seconds", r.Attack, r.Seconds)
	row("connections", "%d, at the end %d open, %d ended by the server", r.Opened, r.Open, r.Ended)
	if r.Failed > 0 {
		row("that failed", "%d, the first: %s", r.Failed, r.Why)
	}
	row("bytes the server took", "%d", r.Sent)
	row("bytes that came back", "%d", r.Received)
	row("a bystander", "%d echoes, the slowest took %.1f ms%s", r.Echoes, r.Slowest, because(r.Trouble))
	if r.Refused == "" {
		row("a newcomer afterwards", "is served in %.1f ms", r.NewMs)
	} else {
		row("a newcomer afterwards", "is not served: %s", r.Refused)
	}
	if r.Server {
		row("server memory, MiB", "%.1f before; grown by %.1f at most, %.1f in the quiet, %.1f afterwards", r.Before, r.PeakMiB, r.GrowthMiB, r.AfterMiB)
		row("server CPU, %", "%.1f in the attack, %.1f in the quiet", r.CPUDuring, r.CPUQuiet)
		row("server descriptors", "%d before, %d in the quiet, %d afterwards", r.FDsBefore, r.FDsQuiet, r.FDsAfter)
	}
	return nil
}

func because(trouble string) string {
	if trouble == "" {
		return ""
	}
	return ", then: " + trouble
}

// A look is what /proc says about the server at one moment. All of it is zero
// without --pid.
type look struct {
	at          time.Time
	memory      int64
	cpu         time.Duration
	descriptors int
}

func (f *flood) look() (l look, err error) {
	l.at = time.Now()
	if f.o.PID == 0 {
		return l, nil
	}
	if l.memory, err = memory(f.o.PID); err != nil {
		return l, fmt.Errorf("the server is gone: %w", err)
	}
	if l.cpu, err = cpuTime(f.o.PID); err != nil {
		return l, fmt.Errorf("the server is gone: %w", err)
	}
	// Source: proc(5), fd. It may not be ours to read: then it is not told.
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", f.o.PID))
	l.descriptors = len(entries)
	return l, nil
}

func (r *floodResult) measured(before, during, quiet, after look, peak int64) {
	r.Server = before.memory != 0
	if !r.Server {
		return
	}
	percent := func(from, to look) float64 { return 100 * float64(to.cpu-from.cpu) / float64(to.at.Sub(from.at)) }
	r.Before = mib(before.memory)
	r.PeakMiB = mib(max(peak, during.memory, quiet.memory) - before.memory)
	r.GrowthMiB, r.AfterMiB = mib(quiet.memory-before.memory), mib(after.memory-before.memory)
	r.CPUDuring, r.CPUQuiet = percent(before, during), percent(during, quiet)
	r.FDsBefore, r.FDsQuiet, r.FDsAfter = before.descriptors, quiet.descriptors, after.descriptors
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// A bystander is an honest client that was there before the attack: it has a
// byte echoed, fifty times a second. Its goroutine is the only one besides the
// loop's, so that a loop that is busy attacking does not slow it.
type bystander struct {
	o       *floodTarget
	conn    net.Conn
	stop    func()
	ended   chan struct{}
	echoes  int
	slowest time.Duration
	trouble error
}

// newBystander connects and has its first echo. A server that does not answer
// need not be an echo server: then it is only not told how it serves others.
func newBystander(o *floodTarget) (*bystander, error) {
	c, err := honestDial(o)
	if err != nil {
		return nil, err
	}
	b := &bystander{o: o, conn: c, ended: make(chan struct{})}
	quit := make(chan struct{})
	b.stop = sync.OnceFunc(func() {
		close(quit)
		<-b.ended
		c.Close()
	})
	go b.run(quit)
	return b, nil
}

// honestDial connects from an address of loopback that no attacker uses: want
// of ports must not look like a server that does not serve.
func honestDial(o *floodTarget) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	if from := loopbackSource(o.Addr, loopbackSources-1); from != "" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))
	}
	return d.Dial(o.Network, o.Addr)
}

// patience is how long an echo may take before the server counts as one that
// does not serve.
const patience = 2 * time.Second

func (b *bystander) run(quit chan struct{}) {
	defer close(b.ended)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := echoByte(b.conn)
		if err != nil {
			b.trouble = err
			return
		}
		b.echoes++
		b.slowest = max(b.slowest, d)
		select {
		case <-quit:
			return
		case <-tick.C:
		}
	}
}

func echoByte(c net.Conn) (time.Duration, error) {
	start := time.Now()
	if err := c.SetDeadline(start.Add(patience)); err != nil {
		return 0, err
	}
	p := []byte("?")
	if _, err := c.Write(p); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, p)
	return time.Since(start), err
}

// report tells how it went, and tries once more as somebody who comes when all
// is over.
func (b *bystander) report(r *floodResult) {
	r.Echoes, r.Slowest, r.Trouble = b.echoes, ms(b.slowest), text(b.trouble)
	start := time.Now()
	c, err := honestDial(b.o)
	if err == nil {
		defer c.Close()
		_, err = echoByte(c)
	}
	r.NewMs, r.Refused = ms(time.Since(start)), text(err)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
