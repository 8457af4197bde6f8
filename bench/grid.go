package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A cell of the grid is one load on everybody who can take it.
type cell struct {
	name  string
	what  string // for the reader
	kind  kind
	short bool     // part of the short grid
	load  []string // what "bev bench" is told, besides the address
	lead  metric   // the figure that counts
	also  []metric // those beside it
	ref   string   // what ratios are to

	conns, loops int
	procs        int // processors that a Go program uses, if not as many as loops
	unix         bool
	buffer       int  // bytes to read at a time, for those who choose: the best setting for this load
	limit, group int  // rate limits, bytes a second
	armed        bool // timeouts and marks are set, and memory is given back
	garbage      bool // the program makes garbage besides
	compute      bool // a goroutine of the program computes besides
	calls        bool // system calls are counted, in a pass of their own

	// A fixed cell takes as long as it takes, whatever -seconds says, and is
	// not measured in more than fixedRounds.
	fixed time.Duration
}

const fixedRounds = 3

// kind is who competes in a cell.
type kind uint8

const (
	echoServers kind = iota
	proxies
	timers
)

// A metric is a figure of a result, and how to read it.
type metric struct {
	key   string // in the JSON of "bev bench"
	title string
	ratio bool // shown as a ratio to the reference, too
	more  bool // more is better
}

var (
	cpu      = metric{key: "cpu_us_per_op", title: "server CPU, µs an operation", ratio: true}
	cpuGB    = metric{key: "cpu_s_per_gb", title: "proxy CPU, s a GB", ratio: true}
	mem      = metric{key: "bytes_per_conn", title: "user memory, bytes a connection"}
	grown    = metric{key: "memory_growth_mib", title: "memory grown, MiB"}
	back     = metric{key: "bytes_received", title: "bytes that came back", more: true}
	rearm    = metric{key: "rearm_ns", title: "CPU to arm again, ns", ratio: true}
	off      = metric{key: "limit_off_percent", title: "off the limit, %"}
	pause    = metric{key: "gc_p50_us", title: "stopped by a collection p50, µs"}
	ops      = metric{key: "ops_per_sec", title: "operations/s", more: true}
	mbs      = metric{key: "mb_per_sec", title: "MB/s", more: true}
	p50      = metric{key: "p50_us", title: "p50 µs"}
	p99      = metric{key: "p99_us", title: "p99 µs"}
	p999     = metric{key: "p999_us", title: "p99.9 µs"}
	resident = metric{key: "memory_mib", title: "MiB"}
	busy     = metric{key: "cpu_percent", title: "CPU %"}
)

var (
	latency = []metric{ops, p50, p99, p999, resident}
	bulk    = []metric{mbs, resident}
	shares  = []metric{
		mbs, {key: "least_share", title: "slowest/mean", more: true}, {key: "most_share", title: "fastest/mean"},
		{key: "cpu_us_per_op", title: "CPU µs/op"},
	}
	timing = []metric{
		{key: "rearm_any_ns", title: "to any time, ns"}, {key: "arm_ns", title: "new, ns"}, {key: "cancel_ns", title: "stop, ns"}, {key: "expire_ns", title: "expire, ns"},
		{key: "put_off_ns", title: "expire once put off, ns"},
	}
)

var grid = []cell{
	counted(inShort(echo("echo_64B_1", 1, 64, 1))),
	counted(inShort(echo("echo_64B_64", 64, 64, 1))),
	inShort(echo("echo_64B_1000", 1000, 64, 1)),
	echo("echo_64B_10000", 10000, 64, 1),
	counted(inShort(echo("echo_4K_64", 64, 4096, 1))),
	echo("echo_4K_1000", 1000, 4096, 1),
	inShort(echo("echo_64K_16", 16, 65536, 1)),
	counted(inShort(echo("pipe16_64B_64", 64, 64, 16))),
	counted(onUnix(echo("unix_64B_64", 64, 64, 1))),
	onUnix(echo("unix_64B_1000", 1000, 64, 1)),
	twoLoops(inShort(echo("multi_64B_256", 256, 64, 1))),
	twoLoops(echo("multi_4K_64", 64, 4096, 1)),
	twoLoops(echo("multi_pipe16_64", 64, 64, 16)),
	counted(inShort(cell{
		name: "rate_64", what: "connect, echo once, close; 64 at a time",
		load: words("rate --parallel 64"), loops: 1, conns: 64, lead: cpu, also: latency,
	})),
	inShort(cell{
		name: "idle_10000", what: "10 000 connections that do nothing, on a server that has served some before; timeouts and watermarks set where the library has them",
		load: words("idle --conns 10000 --active 0 --hold 1s"), loops: 1, conns: 10000, armed: true, fixed: 5 * time.Second,
		lead: mem, also: []metric{{key: "connects_per_sec", title: "connects/s", more: true}, {key: "kernel_bytes_per_conn", title: "kernel memory, bytes a connection"}},
	}),
	inShort(cell{
		name: "flood_512MB", what: "a peer that sends 512 MB and never reads",
		load: words("flood --offer 512000000"), loops: 1, conns: 1, fixed: 3 * time.Second,
		lead: grown, also: []metric{{key: "bytes_sent", title: "bytes taken"}, busy},
	}),
	{
		name: "slow_1MBs", what: "a peer that sends all it can, up to 512 MB, and reads 1 MB a second",
		load: words("slow --rate 1000000 --offer 512000000 --duration 2s"), loops: 1, conns: 1, fixed: 3 * time.Second,
		lead: grown, also: []metric{{key: "bytes_sent", title: "bytes taken"}, back, busy},
	},
	inShort(cell{
		name: "half_8MB", what: "8 MB, end of file, and only then does the peer begin to read",
		load: words("half --max 10s"), loops: 1, conns: 1, fixed: 2 * time.Second, lead: back,
	}),
	inShort(cell{
		name: "proxy_1", what: "one stream through a proxy", kind: proxies, ref: "io.Copy",
		load: words("proxy --streams 1 --warmup 300ms"), loops: 1, conns: 1, lead: cpuGB, also: bulk,
	}),
	inShort(cell{
		name: "proxy_16", what: "16 streams through a proxy", kind: proxies, ref: "io.Copy",
		load: words("proxy --streams 16 --warmup 300ms"), loops: 1, conns: 16, lead: cpuGB, also: bulk,
	}),
	counted(inShort(cell{
		name: "proxy_echo_64", what: "64 connections that echo 64 B through a proxy", kind: proxies, ref: "nginx",
		load: words("proxy --echo --conns 64 --size 64 --warmup 300ms"), loops: 1, conns: 64, lead: cpu, also: latency,
	})),
	inShort(cell{
		name: "timers_1000", what: "a thousand timers", kind: timers, ref: "c-libevent",
		load: words("1000"), loops: 1, fixed: 4 * time.Second, lead: rearm, also: timing,
	}),
	{
		name: "timers_million", what: "a million timers", kind: timers, ref: "c-libevent",
		load: words("1000000"), loops: 1, fixed: 12 * time.Second, lead: rearm, also: append(slices.Clip(timing), metric{key: "bytes_per_timer", title: "bytes each"}),
	},
	{
		name: "limit_16", what: "16 connections, each limited to 1 MB a second", limit: 1_000_000, conns: 16,
		load: words("echo --conns 16 --size 4096 --pipeline 4 --warmup 1500ms --duration 3s"), loops: 1, fixed: 5 * time.Second, lead: off, also: shares,
	},
	{
		name: "limit_group_64", what: "64 connections, together limited to 16 MB a second", group: 16_000_000, conns: 64,
		load: words("echo --conns 64 --size 4096 --pipeline 4 --warmup 1500ms --duration 3s"), loops: 1, fixed: 5 * time.Second, lead: off, also: shares,
	},
	garbage(echo("gc_64B_64", 64, 64, 1)),
	twoProcs(garbage(echo("gc_two_64B_64", 64, 64, 1))),
	computing(twoProcs(echo("beside_64B_64", 64, 64, 1))),
	computing(twoLoops(echo("beside_multi_64B_1000", 1000, 64, 1))),
}

func words(s string) []string { return strings.Fields(s) }

// echo is the closed loop: each connection sends when its message is back.
func echo(name string, conns, size, pipeline int) cell {
	c := cell{name: name, conns: conns, loops: 1, lead: cpu, also: latency}
	c.load = words(fmt.Sprintf("echo --conns %d --size %d --pipeline %d --warmup 300ms", conns, size, pipeline))
	c.buffer = min(max(size*pipeline, 4096), 65536)
	c.what = fmt.Sprintf("%d connections, messages of %d B", conns, size)
	if conns == 1 {
		c.what = fmt.Sprintf("one connection, messages of %d B", size)
	}
	if pipeline > 1 {
		c.what = fmt.Sprintf("%d connections, %d messages of %d B under way on each", conns, pipeline, size)
	}
	return c
}

func inShort(c cell) cell { c.short = true; return c }

func counted(c cell) cell { c.calls = true; return c }

func onUnix(c cell) cell {
	c.unix = true
	c.load = append(c.load, "--network", "unix")
	c.what += ", unix sockets"
	return c
}

func twoLoops(c cell) cell {
	c.loops = 2
	c.what += "; two loops"
	return c
}

func garbage(c cell) cell {
	c.garbage = true
	c.ref, c.lead = "net", pause
	c.also = append([]metric{{key: "gc_p99_us", title: "p99, µs"}, {key: "gc_stop_p50_us", title: "of that until all stand p50, µs"}, {key: "cpu_us_per_op", title: "CPU µs/op"}}, latency...)
	c.what += "; besides, the program makes 250 MB of garbage a second, whose CPU is in the figures"
	return c
}

// twoProcs gives a Go program both cores, and pins nothing.
func twoProcs(c cell) cell {
	c.procs = 2
	c.what += "; two processors for Go"
	return c
}

// computing is a program that does something else as well. How much CPU an
// operation costs cannot be told then, so what leads is the rate.
func computing(c cell) cell {
	c.compute = true
	c.ref, c.lead, c.also = "net", metric{key: ops.key, title: ops.title, ratio: true, more: true}, latency[1:]
	c.what += "; besides, a goroutine of the program computes all the time"
	return c
}

// processors is how many a Go program uses.
func (c *cell) processors() int { return max(c.loops, c.procs) }

// reference is what the ratios of a cell are to.
func (c *cell) reference() string {
	if c.ref != "" {
		return c.ref
	}
	return "c-epoll"
}
