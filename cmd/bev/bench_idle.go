package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// benchIdle holds very many connections: what does one cost that does nothing,
// and what do they cost those that do something?
//
// It dials from many addresses of the loopback network, because one address has
// not enough ports, and from as many processes as their limits on descriptors
// ask for. The server is one more, unless another is named.
type benchIdle struct {
	Addr    string        `arg:"" optional:"" help:"The server: HOST:PORT, or the path of a unix socket with --network unix. None starts one."`
	Network string        `default:"tcp" enum:"tcp,unix" help:"tcp or unix."`
	PID     int           `name:"pid" placeholder:"N" help:"The server's process, for its memory."`
	JSON    bool          `name:"json" help:"Print one line of JSON instead of a table."`
	Conns   int           `default:"10000" help:"Connections to hold (default ${default})."`
	Active  int           `default:"-1" help:"How many of them echo 64 bytes, again and again; -1 for one in a hundred."`
	Every   time.Duration `default:"100ms" help:"How often each of those does (default ${default})."`
	Hold    time.Duration `default:"2s" help:"How long to hold them (default ${default})."`
	Dials   int           `default:"256" help:"How many to open at a time (default ${default})."`
	Clients int           `default:"0" help:"Processes to dial from; 0 for as many as descriptors ask for."`
	Timeout time.Duration `default:"1h" help:"The timeouts that are armed on each connection."`
	loopFlags
}

// Validate is called by kong.
func (b *benchIdle) Validate() error {
	if b.Conns < 1 || b.Dials < 1 || b.Active > b.Conns || b.Clients < 0 || b.Every <= 0 || b.Timeout <= 0 {
		return errors.New("--conns, --dials, --every and --timeout must be above 0, --active at most --conns")
	}
	if b.Addr == "" && b.PID != 0 {
		return errors.New("--pid is for a server that is named, too")
	}
	return b.checkLoops()
}

// spareDescriptors are for all that is not one of the connections.
const spareDescriptors = 64

var selfPID = os.Getpid()

// idleRun is one that is under way.
type idleRun struct {
	*benchIdle
	server  *child // nil for somebody else's
	clients []*child
	bar     *progress
	result  benchResult
}

// Run is called by kong.
func (b *benchIdle) Run(std stdio) error {
	r := &idleRun{benchIdle: b, bar: newProgress(std.err)}
	if r.Active < 0 {
		r.Active = max(r.Conns/100, 1)
	}
	defer func() {
		r.bar.clear()
		for _, c := range r.clients {
			c.end()
		}
		if r.server != nil {
			r.server.end()
		}
	}()
	if r.Addr == "" {
		if err := r.startServer(std.err); err != nil {
			return err
		}
	}
	for _, step := range []func() error{func() error { return r.open(std.err) }, r.hold, r.close} {
		if err := step(); err != nil {
			return err
		}
	}
	r.bar.clear()
	return r.result.print(std.out, b.JSON)
}

func (r *idleRun) startServer(stderr io.Writer) (err error) {
	r.server, err = startChild(stderr, "serve", "--loops", strconv.Itoa(r.Loops), "--spread", r.Spread,
		"--conns", strconv.Itoa(r.Conns), "--timeout", r.Timeout.String())
	if err != nil {
		return err
	}
	n, err := r.server.hear("listening", nil)
	if err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	r.Addr, r.PID = n.Addr, r.server.cmd.Process.Pid
	_, err = r.server.ask("free", "stats")
	return err
}

// open has the clients open their connections, and measures the memory of those
// that do nothing yet.
func (r *idleRun) open(stderr io.Writer) error {
	before, err := memory(r.PID)
	if err != nil {
		return err
	}
	kernel := kernelMemory()
	start := time.Now()
	if err := r.startClients(stderr); err != nil {
		return err
	}
	if err := r.each("opening", "opened", nil); err != nil {
		return err
	}
	res := &r.result
	res.Conns, res.Clients = r.Conns, len(r.clients)
	res.ConnectRate = float64(r.Conns) / time.Since(start).Seconds()
	if err := r.settled(r.Conns); err != nil {
		return err
	}
	after, err := memory(r.PID)
	if err != nil {
		return err
	}
	if r.PID != 0 {
		res.BytesPerConn = float64(after-before) / float64(r.Conns)
	}
	res.KernelBytes = float64(kernelMemory()-kernel) / float64(r.Conns)
	return nil
}

// settled waits until our server has that many connections, and has given
// back what it does not use. Another's has as long as it will have to hold them.
func (r *idleRun) settled(conns int) error {
	if r.server == nil {
		time.Sleep(r.Hold)
		return nil
	}
	for {
		n, err := r.server.ask("count", "stats")
		if err != nil {
			return err
		}
		if n.Conns == conns {
			break
		}
	}
	_, err := r.server.ask("free", "stats")
	return err
}

// startClients starts as many as are needed, each with its part.
func (r *idleRun) startClients(stderr io.Writer) error {
	most, err := descriptorLimit()
	if err != nil {
		return err
	}
	most = max(most-spareDescriptors, 1)
	n := max(r.Clients, (r.Conns+most-1)/most)
	for i := range n {
		from, to := r.Conns*i/n, r.Conns*(i+1)/n
		active := r.Active*(i+1)/n - r.Active*i/n
		c, err := startChild(stderr, "hold", r.Addr, "--network", r.Network, "--conns", strconv.Itoa(to-from), "--from", strconv.Itoa(from),
			"--active", strconv.Itoa(min(active, to-from)), "--every", r.Every.String(), "--dials", strconv.Itoa(max(r.Dials/n, 1)), "--timeout", r.Timeout.String())
		if err != nil {
			return err
		}
		r.clients = append(r.clients, c)
	}
	return nil
}

// each waits until all clients have said event, and shows meanwhile how far
// they are.
func (r *idleRun) each(what, event string, f func(news)) error {
	for _, c := range r.clients {
		n, err := c.hear(event, func() { r.show(what) })
		if err != nil {
			return err
		}
		if f != nil {
			f(n)
		}
	}
	return nil
}

func (r *idleRun) show(what string) {
	var conns int
	var ops int64
	for _, c := range r.clients {
		if n := c.latest.Load(); n != nil {
			conns, ops = conns+n.Conns, ops+n.Ops
		}
	}
	r.bar.show(what, conns, r.Conns, fmt.Sprintf(", %d echoes", ops))
}

func (r *idleRun) tell(word string) error {
	for _, c := range r.clients {
		if err := c.tell(word); err != nil {
			return err
		}
	}
	return nil
}

// collections are made by the server while the connections are held: an idle
// server makes no garbage, but the program around it will.
const collections = 20

// hold has some of them echo for a while.
func (r *idleRun) hold() error {
	if r.server != nil {
		if _, err := r.server.ask("watch", "stats"); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := r.tell("echo"); err != nil {
		return err
	}
	var last news
	for range collections {
		time.Sleep(r.Hold / collections)
		if r.server != nil {
			n, err := r.server.ask("gc", "stats")
			if err != nil {
				return err
			}
			last = n
		}
		for _, c := range r.clients {
			if err := c.check(); err != nil {
				return err
			}
		}
		r.show("holding")
	}
	if err := r.tell("rest"); err != nil {
		return err
	}
	all := latencies()
	res := &r.result
	err := r.each("holding", "rested", func(n news) {
		all.Merge(hdrhistogram.Import(n.Latency))
		res.Ops += n.Ops
	})
	if err != nil {
		return err
	}
	res.OpsPerSec = float64(res.Ops) / time.Since(start).Seconds()
	if res.Ops > 0 {
		res.fromHistogram(all)
	}
	if p := last.Pauses; p != nil {
		res.GCPauses, res.GCPauseP50, res.GCPauseP99, res.GCPauseMax = p.N, p.P50, p.P99, p.Max
	}
	return nil
}

// close closes them all, and waits until the server has, too, if it can be
// asked.
func (r *idleRun) close() error {
	start := time.Now()
	if err := r.tell("close"); err != nil {
		return err
	}
	if err := r.each("closing", "closed", nil); err != nil {
		return err
	}
	if err := r.settled(0); err != nil {
		return err
	}
	r.result.CloseSeconds = time.Since(start).Seconds()
	return nil
}
