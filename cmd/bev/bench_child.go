package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Very many connections need several processes: each may have so many
// descriptors, and the server's memory has to be told from the load's. They are
// children of the command, told what to do by words on their standard input, and
// tell what came of it by lines of JSON on their standard output.

// news is one such line.
type news struct {
	Event   string  `json:"event"`
	Error   string  `json:"error,omitempty"`
	Addr    string  `json:"addr,omitempty"` // of a server
	Conns   int     `json:"conns"`
	Ops     int64   `json:"ops,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`

	Resident int64       `json:"resident,omitempty"` // bytes
	Pauses   *gcPauses   `json:"pauses,omitempty"`
	Latency  *latencyLog `json:"latency,omitempty"`
}

type latencyLog = hdrhistogram.Snapshot

// child is a process of this same program.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	news   chan news            // closed at its end
	latest atomic.Pointer[news] // how far it is
}

// startChild runs "bev bench ARGS".
func startChild(stderr io.Writer, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, append([]string{"bench"}, args...)...), news: make(chan news, 16)}
	c.cmd.Stderr = stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.news)
		for d := json.NewDecoder(out); ; {
			var n news
			if d.Decode(&n) != nil {
				return // its end; what it had to say is on standard error
			}
			if n.Event == "progress" {
				c.latest.Store(&n) // nobody has to wait for somebody to hear it
			} else {
				c.news <- n
			}
		}
	}()
	return c, nil
}

// tell gives it a word. One that has ended has said why.
func (c *child) tell(word string) error {
	_, err := io.WriteString(c.in, word+"\n")
	if err != nil {
		_, err = c.hear("its reason", nil)
	}
	return err
}

// check reports the error of one that has failed by now.
func (c *child) check() error {
	select {
	case n, ok := <-c.news:
		if !ok || n.Error != "" {
			return c.failure(n)
		}
	default:
	}
	return nil
}

// failure is why it has ended, which its last words say, if it had any.
func (c *child) failure(last news) error {
	if last.Error != "" {
		return errors.New(last.Error)
	}
	return fmt.Errorf("a %q process has ended before its work was done", "bev bench "+c.cmd.Args[2])
}

// hear waits for an event, and calls wait from time to time meanwhile.
func (c *child) hear(event string, wait func()) (news, error) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case n, ok := <-c.news:
			if !ok || n.Error != "" {
				return n, c.failure(n)
			}
			if n.Event == event {
				return n, nil
			}
		case <-t.C:
			if wait != nil {
				wait()
			}
		}
	}
}

// ask is tell and hear.
func (c *child) ask(word, event string) (news, error) {
	if err := c.tell(word); err != nil {
		return news{}, err
	}
	return c.hear(event, nil)
}

// end has it end: nothing more is said to it.
func (c *child) end() {
	c.in.Close()
	for range c.news {
	}
	_ = c.cmd.Wait() // its failure has been told, or nobody waits for it any more
}

// listenTo hands the words of the parent to f, and done when there are no more.
func listenTo(in io.Reader, f func(word string), done func()) {
	for words := bufio.NewScanner(in); words.Scan(); {
		f(words.Text())
	}
	done()
}

// gcPauses are how long the collector stopped the world, in microseconds.
type gcPauses struct {
	N   uint64  `json:"n"`
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	Max float64 `json:"max_us"`

	before []uint64
}

const pausesMetric = "/sched/pauses/total/gc:seconds"

func readPauses() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: pausesMetric}}
	metrics.Read(s)
	return s[0].Value.Float64Histogram()
}

// startPauses begins to watch.
func startPauses() *gcPauses {
	return &gcPauses{before: append([]uint64(nil), readPauses().Counts...)}
}

// read counts since then. A pause is as long as the upper end of its bucket.
func (p *gcPauses) read() *gcPauses {
	h := readPauses()
	r := &gcPauses{}
	counts := make([]uint64, len(h.Counts))
	for i, n := range h.Counts {
		counts[i] = n - p.before[i]
		r.N += counts[i]
	}
	at := func(q float64) float64 {
		need := uint64(math.Ceil(q * float64(r.N)))
		for i, n := range counts {
			if n >= need && need > 0 {
				if up := h.Buckets[i+1]; !math.IsInf(up, 1) {
					return up * 1e6
				}
				return h.Buckets[i] * 1e6
			}
			need -= min(n, need)
		}
		return 0
	}
	r.P50, r.P99, r.Max = at(0.50), at(0.99), at(1)
	return r
}
