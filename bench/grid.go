package main

import (
	"fmt"
	"strings"
)

// A cell of the grid is one load on every server that can take it.
type cell struct {
	name  string
	short bool     // part of the short grid
	load  []string // what "bev bench" is told, besides the address
	loops int      // of the server; with more than one nothing is pinned
	unix  bool
	fixed bool   // does not depend on -seconds
	what  metric // which figure leads
}

// A metric is a figure of a result, and how to read it.
type metric struct {
	key   string // in the JSON of "bev bench"
	title string
	ratio bool // shown as a ratio to the C loop, too
	limit bool // more is better
}

var (
	cpu   = metric{key: "cpu_us_per_op", title: "server CPU, µs an operation", ratio: true}
	mem   = metric{key: "bytes_per_conn", title: "user memory, bytes a connection"}
	grown = metric{key: "memory_growth_mib", title: "memory grown, MiB"}
	back  = metric{key: "bytes_received", title: "bytes that came back", limit: true}
)

var grid = []cell{
	echo("echo_64B_1", true, 1, 64, 1),
	echo("echo_64B_64", true, 64, 64, 1),
	echo("echo_64B_1000", true, 1000, 64, 1),
	echo("echo_64B_10000", false, 9000, 64, 1),
	echo("echo_4K_64", true, 64, 4096, 1),
	echo("echo_4K_1000", false, 1000, 4096, 1),
	echo("echo_64K_16", true, 16, 65536, 1),
	echo("pipe16_64B_64", true, 64, 64, 16),
	onUnix(echo("unix_64B_64", false, 64, 64, 1)),
	onUnix(echo("unix_64B_1000", false, 1000, 64, 1)),
	twoLoops(echo("multi_64B_256", false, 256, 64, 1)),
	twoLoops(echo("multi_4K_64", false, 64, 4096, 1)),
	{name: "rate_64", short: true, load: words("rate --parallel 64"), loops: 1, what: cpu},
	{name: "idle_9000", short: true, load: words("idle --conns 9000 --hold 1s"), loops: 1, fixed: true, what: mem},
	{name: "flood_512MB", short: true, load: words("flood --offer 512000000"), loops: 1, fixed: true, what: grown},
	{name: "half_8MB", short: true, load: words("half --max 10s"), loops: 1, fixed: true, what: back},
}

func words(s string) []string { return strings.Fields(s) }

func echo(name string, short bool, conns, size, pipeline int) cell {
	load := fmt.Sprintf("echo --conns %d --size %d --pipeline %d --warmup 300ms", conns, size, pipeline)
	return cell{name: name, short: short, load: words(load), loops: 1, what: cpu}
}

func onUnix(c cell) cell {
	c.unix = true
	c.load = append(c.load, "--network", "unix")
	return c
}

func twoLoops(c cell) cell {
	c.loops = 2
	return c
}

// contestant is one server.
type contestant struct {
	name string
	args []string // the binary in the folder of binaries, and what comes before the address
	c    bool     // a C program: its address is two words, and it has one loop
	tcp  bool     // cannot do unix sockets
}

// reference is what ratios are to. It is in every round.
const reference = "c-epoll"

var contestants = []contestant{
	{name: reference, args: words("epoll_echo"), c: true},
	{name: "c-libevent", args: words("libevent_echo"), c: true},
	{name: "bev", args: words("servers bev")},
	{name: "bev-own", args: words("servers bev-own")},
	{name: "go-epoll", args: words("servers go-epoll"), tcp: true},
	{name: "gnet", args: words("servers gnet")},
	{name: "nbio", args: words("servers nbio")},
	{name: "netpoll", args: words("servers netpoll")},
	{name: "evio", args: words("servers evio")},
	{name: "gaio", args: words("servers gaio")},
	{name: "net", args: words("servers net")},
}
