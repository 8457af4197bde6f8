// Servers is one echo server in many forms, and one proxy in a few: bev and
// the libraries that a user would pick instead, each as its own README writes
// it, so that they can be measured side by side.
//
//	servers [flags] KIND ADDRESS
//
// ADDRESS is host:port, or the path of a unix socket with "unix:" before it.
// The server prints "ready" when it accepts, and runs until it is killed.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// settings are what a server is told. One that has no use for a setting leaves
// it alone.
type settings struct {
	network, address string
	to               string // proxies: where to connect to
	loops            int
	buffer           int  // what those read into who choose it: their best setting for the load
	limit            int  // rate limits: bytes a second of each connection
	group            int  // and of all together
	armed            bool // timeouts and marks are set, as in a real server
	ready            func()
}

// A server serves until it fails, and calls ready when it accepts.
type server func(s *settings) error

var servers = map[string]server{
	"bev":      serveBev,
	"bev-own":  serveBevOwnCore,
	"net":      serveNet,
	"gnet":     serveGnet,
	"netpoll":  serveNetpoll,
	"nbio":     serveNbio,
	"gaio":     serveGaio,
	"evio":     serveEvio,
	"go-epoll": serveEpoll,

	"proxy-bev":     proxyBev,
	"proxy-bev-own": proxyBevOwnCore,
	"proxy-io.Copy": proxyCopy,
}

func main() {
	s := settings{network: "tcp", ready: func() { fmt.Println("ready") }}
	flag.IntVar(&s.loops, "loops", 1, "loops, or pollers; GOMAXPROCS is for the caller to set")
	flag.IntVar(&s.buffer, "buffer", 4096, "bytes to read at a time, where the program chooses")
	flag.StringVar(&s.to, "to", "", "proxies: the address to connect to")
	flag.IntVar(&s.limit, "limit", 0, "bytes a second that each connection may send; 0 is no limit")
	flag.IntVar(&s.group, "group", 0, "bytes a second that all may send together; 0 is no limit")
	flag.BoolVar(&s.armed, "armed", false, "set timeouts and watermarks, where the library has them")
	give := flag.Duration("give-back", 0, "how often to give memory back to the system; 0 is as Go does by itself")
	garbage := flag.Bool("garbage", false, "make garbage besides, and print how long the collector stops the world when terminated")
	compute := flag.Bool("compute", false, "have a goroutine compute besides")
	flag.Usage = usage
	flag.Parse()
	serve, known := servers[flag.Arg(0)]
	if !known || flag.NArg() != 2 || s.loops < 1 || s.buffer < 1 {
		usage()
		os.Exit(2)
	}
	s.address = flag.Arg(1)
	if path, ok := strings.CutPrefix(s.address, "unix:"); ok {
		s.network, s.address = "unix", path
	}
	if *give > 0 {
		go giveBack(*give)
	}
	if *compute {
		go computeAlways()
	}
	if *garbage {
		go makeGarbage()
		go reportPauses()
	}
	err := serve(&s)
	fmt.Fprintf(os.Stderr, "servers %s: %v\n", flag.Arg(0), err)
	os.Exit(1)
}

// giveBack has resident memory show what is in use, and not what the collector
// has not come round to.
func giveBack(every time.Duration) {
	for range time.Tick(every) {
		debug.FreeOSMemory()
	}
}

// computeAlways is the rest of a program that never waits.
func computeAlways() {
	for x := uint64(1); x != 0; { // a generator that never comes to 0
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
}

func usage() {
	var names []string
	for name := range servers {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "usage: servers [flags] KIND ADDRESS\nkinds: %s\n", strings.Join(names, " "))
	flag.PrintDefaults()
}
