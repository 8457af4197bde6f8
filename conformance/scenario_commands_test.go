//go:build interop

package conformance

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

// command does one command, of a step or of a callback.
func (s *scenarioSide) command(text string) {
	l := &line{text: text, rest: text}
	op := l.word()
	switch {
	case op == "when":
		if rest := s.when(l); rest != "" {
			s.command(rest)
		}
	case op == "on":
		s.on(l)
	case op == "peer":
		s.peer(l)
	case op == "nofiles" || op == "files":
		s.descriptors(op == "nofiles")
	case creating[op] != nil:
		creating[op](s, l)
	case doing[op] != nil:
		o := s.find(l.word())
		o.checkGone()
		if o.conn == nil && o.listener == nil {
			return // the command has no object any more
		}
		doing[op](s, o, l)
	default:
		l.fail("unknown command %s", op)
	}
	if l.more() {
		l.fail("too much: %s", l.rest)
	}
}

// when returns the rest of the command if a condition holds, else nothing:
// random scenarios stay away so from what differs on purpose.
func (s *scenarioSide) when(l *line) string {
	condition, o := l.word(), s.find(l.word())
	rest := strings.TrimSpace(l.rest)
	l.rest = ""
	if o.conn == nil || o.conn.Closed() || o.ended {
		return ""
	}
	switch condition {
	case "reading":
		high := o.conn.Watermark(bev.Reading).High
		if o.conn.Enabled()&bev.Reading == 0 || high > 0 && o.conn.Input().Len() >= high {
			return ""
		}
	case "open":
	default:
		l.fail("unknown condition %s", condition)
	}
	return rest
}

func (s *scenarioSide) find(name string) *object {
	if name == "@" && s.self != nil {
		return s.self
	}
	for _, o := range s.objects {
		if o.name == name {
			return o
		}
	}
	panic(fmt.Sprintf("there is no %s", name))
}

func (s *scenarioSide) make(name string) *object {
	o := &object{name: name, peer: -1, on: make(map[string][]string)}
	s.objects = append(s.objects, o)
	return o
}

// options gives what libevent gives: no marks, no limits. Reads and writes are
// as large as its own can be.
func options(l *line) *bev.ConnOptions {
	none := bev.Watermark{High: -1}
	o := &bev.ConnOptions{
		ReadWatermark: none, WriteWatermark: none, OutputLimit: -1,
		MaxSingleRead: 4096, MaxSingleWrite: 4096,
	}
	for l != nil && l.more() {
		switch w := l.word(); w {
		case "defer":
			o.DeferCallbacks = true
		case "limits": // bev's own
			o.ReadWatermark, o.WriteWatermark, o.OutputLimit = bev.Watermark{}, bev.Watermark{}, 0
		default:
			l.fail("unknown option %s", w)
		}
	}
	return o
}

func (s *scenarioSide) born(o *object, c *bev.Conn, err error) {
	if err != nil {
		panic(fmt.Sprintf("%s cannot be made: %v", o.name, err))
	}
	o.conn = c
	s.listenFor(o, "rwe")
}

// adopt makes a Conn over a descriptor; -1 is none.
func (s *scenarioSide) adopt(o *object, fd int, opts *bev.ConnOptions) {
	c, err := bev.NewConn(s.loop, fd, opts)
	s.born(o, c, err)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func socketpair() [2]int {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(err)
	return fds
}

var loopback = [4]byte{127, 0, 0, 1}

func boundTCP() (fd int) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	must(unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback}))
	return fd
}

// connectTo makes a socket of the peer's and connects it, waiting.
func connectTo(to unix.Sockaddr) (fd int) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	must(unix.Connect(fd, to))
	must(unix.SetNonblock(fd, true))
	return fd
}

// tcpPair makes a loopback connection, for what unix sockets do not do: a
// reset.
func tcpPair() (fds [2]int) {
	l := boundTCP()
	defer unix.Close(l)
	must(unix.Listen(l, 1))
	to, err := unix.Getsockname(l)
	must(err)
	fds[1] = connectTo(to)
	fds[0], _, err = unix.Accept4(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	must(err)
	return fds
}

// addressOf is where a listener listens; "none" is where nobody does,
// "nowhere" what connect(2) refuses at once, "full" where nobody answers.
func (s *scenarioSide) addressOf(name string) string {
	switch name {
	case "none", "full":
		s.closeOthers()
		fd := boundTCP()
		s.others = append(s.others, fd)
		a, err := unix.Getsockname(fd)
		must(err)
		if name == "full" {
			// One caller fills the queue, and the next is not answered.
			must(unix.Listen(fd, 0))
			s.others = append(s.others, connectTo(a))
		}
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(a.(*unix.SockaddrInet4).Port))
	case "nowhere":
		return "224.0.0.1:9" // multicast: connect(2) says ENETUNREACH
	}
	return s.find(name).listener.Addr().String()
}

func (s *scenarioSide) closeOthers() {
	for _, fd := range s.others {
		unix.Close(fd)
	}
	s.others = nil
}

// creating are the commands that make objects, doing those to objects that are
// there. They are set by init because callbacks run commands.
var (
	creating map[string]func(s *scenarioSide, l *line)
	doing    map[string]func(s *scenarioSide, o *object, l *line)
)

func init() {
	creating, doing = creatingCommands, doingCommands
}

var creatingCommands = map[string]func(s *scenarioSide, l *line){
	"socket": func(s *scenarioSide, l *line) {
		o, fds := s.make(l.word()), socketpair()
		o.peer = fds[1]
		s.adopt(o, fds[0], options(l))
	},
	"tcp": func(s *scenarioSide, l *line) {
		o, fds := s.make(l.word()), tcpPair()
		o.peer = fds[1]
		s.adopt(o, fds[0], options(l))
	},
	"linked": func(s *scenarioSide, l *line) {
		a, b := s.make(l.word()), s.make(l.word())
		fds, opts := socketpair(), options(l)
		s.adopt(a, fds[0], opts)
		s.adopt(b, fds[1], opts)
	},
	"nofd": func(s *scenarioSide, l *line) {
		s.adopt(s.make(l.word()), -1, options(l))
	},
	"pair": func(s *scenarioSide, l *line) {
		a, b := s.make(l.word()), s.make(l.word())
		opts := options(l)
		// As libevent's, which always defer and move all there is.
		opts.DeferCallbacks = true
		opts.MaxSingleRead, opts.MaxSingleWrite = 1<<20, 1<<20
		p, q, err := bev.Pair(s.loop, opts)
		s.born(a, p, err)
		s.born(b, q, err)
	},
	"filter": func(s *scenarioSide, l *line) {
		o, under, kind := s.make(l.word()), s.find(l.word()), l.word()
		o.under = under
		c, err := bev.NewFilter(under.conn, newTestFilter(kind, func() *bev.Conn { return o.conn }), options(l))
		s.born(o, c, err)
	},
	"listen": func(s *scenarioSide, l *line) {
		o := s.make(l.word())
		paused := l.more() && l.word() == "paused"
		ln, err := bev.Listen(s.loop, "tcp", "127.0.0.1:0", func(c *bev.Conn) { s.accepted(o, c) },
			&bev.ListenOptions{Conn: options(nil), Paused: paused, OnError: func(err error) { s.note("%s.x:%s", o.name, errorName(err)) }})
		must(err)
		o.listener = ln
	},
	"call": func(s *scenarioSide, l *line) {
		o := s.make(l.word())
		a := netip.MustParseAddrPort(s.addressOf(l.word()))
		o.peer = connectTo(&unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())})
	},
	"dial": func(s *scenarioSide, l *line) {
		o := s.make(l.word())
		address := s.addressOf(l.word())
		opts := &bev.DialOptions{Conn: options(nil)}
		for l.more() {
			if l.word() == "defer" {
				opts.Conn.DeferCallbacks = true
			} else { // "within"
				opts.Timeout = time.Duration(l.int()) * time.Millisecond
			}
		}
		c, err := bev.Dial(context.Background(), s.loop, "tcp", address, bev.Callbacks{}, opts)
		s.born(o, c, err)
	},
}

// accepted names a Conn after its listener and its number, and gives it the
// listener's commands.
func (s *scenarioSide) accepted(ln *object, c *bev.Conn) {
	ln.accepted++
	o := s.make(fmt.Sprintf("%s%d", ln.name, ln.accepted))
	for when, list := range ln.on {
		o.on[when] = list
	}
	s.born(o, c, nil)
	s.called(o, "accept", "%s.a:%s", ln.name, o.name)
}

func direction(l *line) (d bev.Dir) {
	w := l.word()
	if strings.Contains(w, "r") {
		d |= bev.Reading
	}
	if strings.Contains(w, "w") {
		d |= bev.Writing
	}
	if d == 0 {
		l.fail("%s is no direction", w)
	}
	return d
}

// next makes the bytes of a stream, each the one before plus one.
func next(counter *int, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(*counter % 251)
		*counter++
	}
	return p
}

func roll(h uint64, p []byte) uint64 {
	for _, c := range p {
		h = h*0x100000001b3 + uint64(c) + 1
	}
	return h
}

// amount reads a number, or "all" for as many as there are.
func amount(l *line, all int) int {
	w := l.word()
	if w == "all" {
		return all
	}
	n, err := strconv.Atoi(w)
	if err != nil {
		l.fail("%s is no amount", w)
	}
	return min(n, all)
}

var doingCommands = map[string]func(s *scenarioSide, o *object, l *line){
	"enable":  func(_ *scenarioSide, o *object, l *line) { o.conn.Enable(direction(l)) },
	"disable": func(_ *scenarioSide, o *object, l *line) { o.conn.Disable(direction(l)) },
	"marks": func(s *scenarioSide, o *object, l *line) {
		d := direction(l)
		if err := o.conn.SetWatermark(d, bev.Watermark{Low: l.int(), High: l.int()}); err != nil {
			s.note("%s.refused", o.name)
		}
	},
	"timeouts": func(_ *scenarioSide, o *object, l *line) {
		r, w := l.int(), l.int()
		o.conn.SetTimeouts(time.Duration(r)*time.Millisecond, time.Duration(w)*time.Millisecond)
	},
	"priority": func(_ *scenarioSide, o *object, l *line) { o.conn.SetPriority(l.int()) },
	"max": func(_ *scenarioSide, o *object, l *line) {
		n := l.int()
		o.conn.SetMaxSingle(n, n)
	},
	"cbs":   func(s *scenarioSide, o *object, l *line) { s.listenFor(o, l.word()) },
	"write": func(_ *scenarioSide, o *object, l *line) { o.conn.Write(next(&o.written, l.int())) },
	"output": func(_ *scenarioSide, o *object, l *line) {
		o.conn.Output().Append(next(&o.written, l.int()))
	},
	"writebuf": func(_ *scenarioSide, o *object, l *line) {
		var b buffer.Buffer
		b.Append(next(&o.written, l.int()))
		o.conn.WriteBuffer(&b)
	},
	"echo": func(s *scenarioSide, o *object, l *line) {
		from := o
		if l.more() {
			from = s.find(l.word())
		}
		if from.conn != nil {
			o.conn.WriteBuffer(from.conn.Input())
		}
	},
	"drain": func(_ *scenarioSide, o *object, l *line) {
		in := o.conn.Input()
		p := make([]byte, amount(l, in.Len()))
		n, _ := in.Read(p) // an empty buffer gives nothing, on purpose
		o.got += n
		o.gotHash = roll(o.gotHash, p[:n])
	},
	"trigger": func(_ *scenarioSide, o *object, l *line) {
		d, flags := direction(l), bev.TriggerFlags(0)
		for l.more() {
			if l.word() == "force" {
				flags |= bev.TriggerIgnoreWatermarks
			}
		}
		o.conn.Trigger(d, flags)
	},
	"event": func(_ *scenarioSide, o *object, l *line) {
		what, err := strconv.ParseUint(l.word(), 16, 16)
		must(err)
		for l.more() {
			l.word() // "defer": it always is
		}
		o.conn.TriggerEvent(bev.Event(what), nil)
	},
	"flush": func(_ *scenarioSide, o *object, l *line) {
		d := direction(l)
		modes := map[string]bev.FlushMode{"normal": bev.FlushNormal, "flush": bev.FlushAll, "finished": bev.FlushFinished}
		o.conn.Flush(d, modes[l.word()])
	},
	"free": func(_ *scenarioSide, o *object, _ *line) {
		if o.listener != nil {
			o.listener.Close()
			o.listener = nil
			return
		}
		o.conn.Close()
		o.checkGone()
	},
	"setfd": func(_ *scenarioSide, o *object, l *line) {
		fds, old := [2]int{-1, -1}, o.conn.FD()
		if l.word() == "new" {
			fds = socketpair()
		}
		must(o.conn.SetFD(fds[0]))
		if old >= 0 {
			unix.Close(old)
		}
		o.closePeer()
		o.peer, o.peerEnded, o.ended = fds[1], 0, false
	},
	"finish": func(_ *scenarioSide, o *object, _ *line) {
		o.conn.CloseAfterFlush(0)
		for ; o != nil; o = o.under {
			o.conn = nil // bev sees to the rest
		}
	},
	"input":  func(_ *scenarioSide, o *object, l *line) { o.conn.Input().Append(next(&o.written, l.int())) },
	"cut":    func(_ *scenarioSide, o *object, l *line) { o.conn.Output().Drain(l.int()) },
	"freeze": func(_ *scenarioSide, o *object, _ *line) { o.conn.Input().Freeze(buffer.Front) },
	"rate": func(_ *scenarioSide, o *object, l *line) {
		n := l.int()
		must(o.conn.SetRateLimit(&bev.RateLimit{Read: n, Write: n}))
	},
	"nodelay": func(s *scenarioSide, o *object, _ *line) {
		on, err := unix.GetsockoptInt(o.conn.FD(), unix.IPPROTO_TCP, unix.TCP_NODELAY)
		must(err)
		s.note("%s.nodelay:%d", o.name, on)
	},
	"pause":  func(_ *scenarioSide, o *object, _ *line) { o.listener.Pause() },
	"resume": func(_ *scenarioSide, o *object, _ *line) { o.listener.Resume() },
}

// descriptors lets the process have no more than it has now, or as many as
// before.
func (s *scenarioSide) descriptors(noMore bool) {
	if s.nofile.Cur == 0 {
		must(unix.Getrlimit(unix.RLIMIT_NOFILE, &s.nofile))
	}
	now := s.nofile
	if noMore {
		lowest, err := unix.Dup(0)
		must(err)
		unix.Close(lowest)
		now.Cur = uint64(lowest)
	}
	must(unix.Setrlimit(unix.RLIMIT_NOFILE, &now))
}

// on remembers what a callback is to do: "on a read drain a 5".
func (s *scenarioSide) on(l *line) {
	o, when := s.find(l.word()), l.word()
	if text := strings.TrimSpace(l.rest); text == "nothing" {
		o.on[when] = nil
	} else {
		o.on[when] = append(o.on[when], text)
	}
	l.rest = ""
}

// peer does something with the other end of an object, if it is there.
func (s *scenarioSide) peer(l *line) {
	o, op := s.find(l.word()), l.word()
	if o.peer < 0 {
		l.rest = ""
		return
	}
	switch op {
	case "write":
		err := unix.Sendto(o.peer, next(&o.peerWritten, l.int()), unix.MSG_NOSIGNAL, nil)
		if err != unix.EPIPE && err != unix.ECONNRESET {
			must(err)
		}
	case "read":
		o.peerRead(amount(l, 1<<30))
	case "shut":
		must(unix.Shutdown(o.peer, unix.SHUT_WR))
	case "abort":
		must(unix.SetsockoptLinger(o.peer, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
		fallthrough
	case "close":
		o.closePeer()
	case "narrow":
		// So little room that a few kilobytes fill it.
		must(unix.SetsockoptInt(o.peer, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096))
		must(unix.SetsockoptInt(o.conn.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096))
	default:
		l.fail("a peer cannot %s", op)
	}
}

func (o *object) peerRead(most int) {
	var p [4096]byte
	for most > 0 {
		n, err := unix.Read(o.peer, p[:min(most, len(p))])
		if err == unix.EAGAIN {
			return
		}
		if n <= 0 {
			o.peerEnded = 'E'
			if err != nil {
				o.peerEnded = 'R'
			}
			return
		}
		o.peerGot += n
		o.peerHash = roll(o.peerHash, p[:n])
		most -= n
	}
}
