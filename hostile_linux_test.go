package bev_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// deafen has the kernel drop all that arrives for the peer before TCP sees it:
// nothing is acknowledged any more, as if the machine were gone. Asking for the
// highest TTL does that, which nobody sends with; a filter that lets no byte
// pass is a privilege on some kernels. Source: RFC 5082, IP_MINTTL.
func (p *peer) deafen() {
	p.t.Helper()
	rc, err := p.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	ctl := rc.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MINTTL, 255)
	})
	if err := errors.Join(ctl, err); err != nil {
		p.t.Fatalf("the peer goes deaf: %v", err)
	}
}

// Half-open peers, each of whom only one option finds. The kernel does it all
// and takes its time, seconds; the test waits for the events.
func TestHostileHalfOpenPeersAreGivenUp(t *testing.T) {
	r := run(t, nil)
	g := r.survey()
	probing := &bev.ConnOptions{KeepAlive: time.Second, KeepAliveInterval: time.Second, KeepAliveCount: 1}
	patient := &bev.ConnOptions{KeepAlive: -1, UserTimeout: 100 * time.Millisecond}
	ends := make(chan error, 1)
	for _, test := range []struct {
		name    string
		o       *bev.ConnOptions
		written int // by the Conn, when the peer is deaf or does not read
		deaf    bool
		what    bev.Event
	}{
		{"a silent one, by keep-alive", probing, 0, true, bev.EventError | bev.EventReading},
		{"one that owes us acknowledgements, by the user timeout", patient, 100, true, bev.EventError | bev.EventReading},
		{"one that never reads, by the user timeout", patient, 8 << 20, false, bev.EventError | bev.EventReading},
	} {
		t.Run(test.name, func(t *testing.T) {
			r.t = t
			c, p := r.accept(test.o, func(c *bev.Conn) {
				c.SetCallbacks(bev.Callbacks{Event: func(c *bev.Conn, what bev.Event, err error) {
					if what != test.what {
						t.Errorf("the event is %v, want %v", what, test.what)
					}
					c.Close()
					ends <- err
				}})
				c.Enable(bev.Reading)
			})
			p.wantQuiet(c)
			if test.deaf {
				p.deafen()
			}
			if test.written > 0 {
				r.on(func() { c.Write(make([]byte, test.written)) })
			}
			if err := await(t, ends, "the kernel to give the peer up"); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("the Conn was told %v, want ETIMEDOUT", err)
			}
			p.close()
		})
	}
	r.t = t
	g.want("half-open peers were given up")
}
