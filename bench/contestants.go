package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A contestant is one program that takes part in the cells of its kind.
type contestant struct {
	name string
	kind kind
	args []string // the binary in the folder of binaries, and what comes last before the address
	c    bool     // a C program of ours: its address is two words
	bare bool     // a limit and not a peer: no buffers, no bounds
	tcp  bool     // cannot do unix sockets
	rate bool     // has rate limits

	// config writes the file that a program of others is configured by, and
	// returns its command line.
	config func(dir, address, to string) ([]string, error)
}

// ours is the contestant that stands for bev with default settings.
const ours = "bev"

var contestants = []contestant{
	{name: "c-epoll", args: words("epoll_echo"), c: true, bare: true},
	{name: "c-libevent", args: words("libevent_echo"), c: true, rate: true},
	{name: ours, args: words("servers bev"), rate: true},
	{name: "bev-own", args: words("servers bev-own")},
	{name: "go-epoll", args: words("servers go-epoll"), tcp: true, bare: true},
	{name: "gnet", args: words("servers gnet")},
	{name: "nbio", args: words("servers nbio")},
	{name: "netpoll", args: words("servers netpoll")},
	{name: "evio", args: words("servers evio")},
	{name: "gaio", args: words("servers gaio")},
	{name: "net", args: words("servers net"), rate: true},

	{name: "io.Copy", kind: proxies, args: words("servers proxy-io.Copy")},
	{name: ours, kind: proxies, args: words("servers proxy-bev")},
	{name: "bev-own", kind: proxies, args: words("servers proxy-bev-own")},
	{name: "haproxy", kind: proxies, config: haproxy("")},
	{name: "haproxy-splice", kind: proxies, config: haproxy("  option splice-request\n  option splice-response\n")},
	{name: "nginx", kind: proxies, config: nginx},

	{name: "c-libevent", kind: timers, args: words("libevent_timers")},
	{name: ours, kind: timers, args: words("timers bev")},
	{name: "go", kind: timers, args: words("timers go")},
}

// giveBack is how often a Go server gives memory back where memory is measured:
// what is resident is then what is in use.
const giveBack = 300 * time.Millisecond

// takes reports whether the contestant can do the cell at all.
func (s *contestant) takes(c *cell) bool {
	switch {
	case s.kind != c.kind, s.tcp && c.unix:
		return false
	case c.limit > 0 || c.group > 0:
		return s.rate
	case c.garbage, c.compute:
		return !s.c
	}
	return true
}

// command is the command line that has s listen on address.
func (s *contestant) command(bin, dir string, c *cell, address, to string) ([]string, error) {
	switch {
	case s.config != nil:
		return s.config(dir, address, to)
	case s.c:
		return append([]string{filepath.Join(bin, s.args[0])}, s.flagsC(c, address)...), nil
	}
	args := []string{filepath.Join(bin, s.args[0]), "-loops", strconv.Itoa(c.loops)}
	add := func(set bool, flag string, value any) {
		if set {
			args = append(args, fmt.Sprintf("-%s=%v", flag, value))
		}
	}
	add(c.buffer > 0, "buffer", c.buffer)
	add(c.limit > 0, "limit", c.limit)
	add(c.group > 0, "group", c.group)
	add(c.armed, "armed", true)
	add(c.armed, "give-back", giveBack)
	add(c.garbage, "garbage", true)
	add(c.compute, "compute", true)
	add(to != "", "to", to)
	if c.unix {
		address = "unix:" + address
	}
	return append(append(args, s.args[1:]...), address), nil
}

func (s *contestant) flagsC(c *cell, address string) []string {
	args := []string{"-t", strconv.Itoa(c.loops), "-l", strconv.Itoa(c.limit), "-g", strconv.Itoa(c.group)}
	if c.armed {
		args = append(args, "-a")
	}
	if c.unix {
		return append(args, "unix", address)
	}
	host, port, _ := net.SplitHostPort(address)
	return append(args, host, port)
}

// haproxy and nginx are set to what suits them best: one thread, as everybody
// else here has, and buffers of 64 KiB. haproxy's splice-auto does not splice
// between two loopback connections, so that is a contestant of its own, which
// is told to.
func haproxy(options string) func(dir, address, to string) ([]string, error) {
	return func(dir, address, to string) ([]string, error) {
		path := filepath.Join(dir, "haproxy.cfg")
		text := fmt.Sprintf("global\n  maxconn 4096\n  nbthread 1\n  tune.bufsize 65536\n"+
			"defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n%s"+
			"listen bench\n  bind %s\n  server backend %s\n", options, address, to)
		return []string{"haproxy", "-db", "-f", path}, os.WriteFile(path, []byte(text), 0o666)
	}
}

func nginx(dir, address, to string) ([]string, error) {
	path := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"+
		"daemon off;\nmaster_process off;\nworker_processes 1;\npid %[1]s/nginx.pid;\nerror_log %[1]s/nginx.log;\n"+
		"events { worker_connections 4096; }\n"+
		"stream { server { listen %[2]s; proxy_pass %[3]s; proxy_buffer_size 64k; tcp_nodelay on; } }\n", dir, address, to)
	return []string{"/usr/sbin/nginx", "-c", path}, os.WriteFile(path, []byte(text), 0o666)
}
