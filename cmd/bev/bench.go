package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// benchCmd measures a server, ours or anybody's. Each load has a file of its
// own. The figure to trust is the server's CPU time for an operation: it is
// read from /proc before and after, so the server has to run on this machine
// for it, and it does not depend on how fast this command is.
type benchCmd struct {
	Echo  benchEcho  `cmd:"" help:"Send messages to an echo server, and again when they are back."`
	Rate  benchRate  `cmd:"" help:"Connect, echo once, close, over and over."`
	Idle  benchIdle  `cmd:"" help:"Hold very many connections, and echo on some of them."`
	Flood benchFlood `cmd:"" help:"Send and never read: what does the server do?"`
	Slow  benchSlow  `cmd:"" help:"Send without end and read slowly: what does the server hold?"`
	Pairs benchPairs `cmd:"" help:"Hold very many connections in one process, without descriptors."`
	Half  benchHalf  `cmd:"" help:"Send much, end the sending, and read only then."`
	Proxy benchProxy `cmd:"" help:"Send through a proxy, and be the server behind it, too."`

	// The processes of "bev bench idle".
	Serve benchServe `cmd:"" hidden:""`
	Hold  benchHold  `cmd:"" hidden:""`
}

// benchTarget is what all loads have in common.
type benchTarget struct {
	Addr    string `arg:"" help:"The server: HOST:PORT, or the path of a unix socket with --network unix."`
	Network string `default:"tcp" enum:"tcp,unix" help:"tcp or unix."`
	PID     int    `name:"pid" placeholder:"N" help:"The server's process, for its CPU time and memory."`
	JSON    bool   `name:"json" help:"Print one line of JSON instead of a table."`
}

// benchResult is what a load found. What was not measured is left out.
type benchResult struct {
	Ops       int64   `json:"ops,omitempty"`
	Seconds   float64 `json:"seconds,omitempty"`
	OpsPerSec float64 `json:"ops_per_sec,omitempty"`
	AllOps    int64   `json:"all_ops,omitempty"`       // those of the warm-up, too
	CPUMicros float64 `json:"cpu_us_per_op,omitempty"` // of the server
	CPUPerGB  float64 `json:"cpu_s_per_gb,omitempty"`  // of the proxy
	MBPerSec  float64 `json:"mb_per_sec,omitempty"`
	MemoryMiB float64 `json:"memory_mib,omitempty"` // of the server, resident, at the end
	// Of all connections, the least and the most operations of one, over the
	// mean: 1 and 1 is perfectly even.
	LeastShare float64 `json:"least_share,omitempty"`
	MostShare  float64 `json:"most_share,omitempty"`

	P50  float64 `json:"p50_us,omitempty"`
	P99  float64 `json:"p99_us,omitempty"`
	P999 float64 `json:"p999_us,omitempty"`

	Conns        int     `json:"conns,omitempty"`
	BytesPerConn float64 `json:"bytes_per_conn,omitempty"` // user memory of the server
	KernelBytes  float64 `json:"kernel_bytes_per_conn,omitempty"`
	ConnectRate  float64 `json:"connects_per_sec,omitempty"`
	CloseSeconds float64 `json:"close_seconds,omitempty"`
	Clients      int     `json:"clients,omitempty"` // processes of the load

	// How long the server's collector stopped the world, and how often.
	GCPauses   uint64  `json:"gc_pauses,omitempty"`
	GCPauseP50 float64 `json:"gc_pause_p50_us,omitempty"`
	GCPauseP99 float64 `json:"gc_pause_p99_us,omitempty"`
	GCPauseMax float64 `json:"gc_pause_max_us,omitempty"`

	GCMillis float64 `json:"gc_ms,omitempty"` // of one collection, most of it beside the loop

	// Of pairs: how long the loop worked between two waits, and how long a call
	// from elsewhere waited for it.
	TickP50  float64 `json:"tick_p50_us,omitempty"`
	TickP99  float64 `json:"tick_p99_us,omitempty"`
	TickMax  float64 `json:"tick_max_us,omitempty"`
	DelayP50 float64 `json:"loop_delay_p50_us,omitempty"`
	DelayP99 float64 `json:"loop_delay_p99_us,omitempty"`
	DelayMax float64 `json:"loop_delay_max_us,omitempty"`

	Sent       int64   `json:"bytes_sent,omitempty"`
	Received   int64   `json:"bytes_received,omitempty"`
	GrowthMiB  float64 `json:"memory_growth_mib,omitempty"`
	CPUPercent float64 `json:"cpu_percent,omitempty"` // of the server, while it has little to do
}

// print writes r for a person, or as JSON.
func (r *benchResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	row := func(name, format string, v float64) {
		if v != 0 {
			fmt.Fprintf(w, "%-26s "+format+"\n", name, v)
		}
	}
	row("operations", "%.0f", float64(r.Ops))
	row("seconds", "%.2f", r.Seconds)
	row("operations a second", "%.0f", r.OpsPerSec)
	row("server CPU, µs/operation", "%.3f", r.CPUMicros)
	row("server CPU, s/GB", "%.3f", r.CPUPerGB)
	row("MB a second", "%.0f", r.MBPerSec)
	row("server memory, MiB", "%.1f", r.MemoryMiB)
	row("slowest conn / mean", "%.3f", r.LeastShare)
	row("fastest conn / mean", "%.3f", r.MostShare)
	row("latency p50, µs", "%.0f", r.P50)
	row("latency p99, µs", "%.0f", r.P99)
	row("latency p99.9, µs", "%.0f", r.P999)
	row("connections", "%.0f", float64(r.Conns))
	row("server memory, B/conn", "%.0f", r.BytesPerConn)
	row("kernel memory, B/conn", "%.0f", r.KernelBytes) // both ends
	row("connects a second", "%.0f", r.ConnectRate)
	row("seconds to close all", "%.2f", r.CloseSeconds)
	row("client processes", "%.0f", float64(r.Clients))
	row("GC pauses", "%.0f", float64(r.GCPauses))
	row("GC pause p50, µs", "%.0f", r.GCPauseP50)
	row("GC pause p99, µs", "%.0f", r.GCPauseP99)
	row("longest GC pause, µs", "%.0f", r.GCPauseMax)
	row("one collection, ms", "%.1f", r.GCMillis)
	row("tick p50, µs", "%.0f", r.TickP50)
	row("tick p99, µs", "%.0f", r.TickP99)
	row("longest tick, µs", "%.0f", r.TickMax)
	row("wait for the loop p50, µs", "%.0f", r.DelayP50)
	row("wait for the loop p99, µs", "%.0f", r.DelayP99)
	row("longest of them, µs", "%.0f", r.DelayMax)
	row("bytes sent", "%.0f", float64(r.Sent))
	row("bytes received", "%.0f", float64(r.Received))
	row("server memory grew, MiB", "%.1f", r.GrowthMiB)
	row("server CPU when quiet, %", "%.1f", r.CPUPercent)
	return nil
}

// window is the time in which a load is measured.
type window struct {
	pid   int
	start time.Time
	cpu   time.Duration // of the server: up to the start, then within
}

func (t *benchTarget) openWindow() (*window, error) {
	cpu, err := cpuTime(t.PID)
	return &window{t.PID, time.Now(), cpu}, err
}

// close writes to r what n operations took.
func (w *window) close(r *benchResult, n int64) error {
	r.Seconds = time.Since(w.start).Seconds()
	after, err := cpuTime(w.pid)
	if err != nil {
		return err
	}
	w.cpu = after - w.cpu
	resident, err := memory(w.pid)
	r.MemoryMiB = float64(resident) / (1 << 20)
	r.AllOps += n
	r.Ops, r.OpsPerSec = n, float64(n)/r.Seconds
	if n > 0 {
		r.CPUMicros = float64(w.cpu.Nanoseconds()) / 1e3 / float64(n)
	}
	return err
}

// latencies is a histogram of nanoseconds from 100 ns to 100 s in three digits.
func latencies() *hdrhistogram.Histogram { return hdrhistogram.New(100, 100e9, 3) }

func (r *benchResult) fromHistogram(h *hdrhistogram.Histogram) {
	us := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e3 }
	r.P50, r.P99, r.P999 = us(50), us(99), us(99.9)
}

// cpuTime is what all threads of a process have used, to the nanosecond.
// Source: proc(5), schedstat.
func cpuTime(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("no process %d to read the CPU time of (--pid)", pid)
	}
	var sum time.Duration
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended since
		}
		ns, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", task, err)
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

// memory is what a process has in memory and shares with nobody, in bytes: what
// is resident, without the pages of files, which come and go with the code that
// happens to run. Source: proc(5), statm.
func memory(pid int) (int64, error) {
	if pid == 0 {
		return 0, nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("no process %d to read the memory of (--pid)", pid)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return 0, fmt.Errorf("/proc/%d/statm: %q", pid, text)
	}
	resident, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, err
	}
	shared, err := strconv.ParseInt(fields[2], 10, 64)
	return (resident - shared) * int64(os.Getpagesize()), err
}

// kernelMemory is what the kernel takes for sockets, in bytes, as far as it
// says: socket buffers and slabs of this machine. Source: proc(5), meminfo and
// net/sockstat.
func kernelMemory() int64 {
	return procNumber("/proc/meminfo", "Slab:")*1024 + procNumber("/proc/net/sockstat", "mem")*int64(os.Getpagesize())
}

// procNumber is the number after word in a file, 0 if there is none.
func procNumber(path, word string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	for i, f := range fields[:max(len(fields)-1, 0)] {
		if f == word {
			n, _ := strconv.ParseInt(fields[i+1], 10, 64)
			return n
		}
	}
	return 0
}
