package main

import (
	"context"
	"encoding/json"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/bevgo/bev"
)

// benchServe is the server of "bev bench idle" where none is named: an echo
// server with marks set and timeouts armed, that can be asked about its memory
// and its collector. It ends with its parent.
type benchServe struct {
	Loops   int           `default:"1"`
	Spread  string        `default:"kernel" enum:"kernel,least,turns"`
	Conns   int           `default:"1000"`
	Timeout time.Duration `default:"1h"`
}

// Run is called by kong.
func (b *benchServe) Run(std stdio) error {
	out := json.NewEncoder(std.out)
	s := &idleServer{}
	if err := s.start(b); err != nil {
		return out.Encode(news{Event: "listening", Error: err.Error()})
	}
	defer s.runner.Close()
	s.pauses = startPauses()
	if err := out.Encode(news{Event: "listening", Addr: s.ln.Addr().String()}); err != nil {
		return err
	}
	go listenTo(std.in, func(word string) {
		switch word {
		case "free": // what is not in use goes back to the system
			debug.FreeOSMemory()
		case "gc":
			runtime.GC()
		case "watch":
			s.pauses = startPauses()
		}
		_ = out.Encode(s.news()) // a parent that is gone asks nothing
	}, s.runner.Stop)
	return s.runner.Run(context.Background())
}

type idleServer struct {
	runner bev.Runner
	ln     *bev.Listener
	pauses *gcPauses
}

func (s *idleServer) start(b *benchServe) error {
	if err := raiseLimit(b.Conns + spareDescriptors); err != nil {
		return err
	}
	flags := loopFlags{Loops: b.Loops, Spread: b.Spread}
	runner, _, err := flags.runner(nil)
	if err != nil {
		return err
	}
	s.runner = runner
	cb := bev.Callbacks{Read: func(c *bev.Conn) { _ = c.WriteBuffer(c.Input()) }} // an Output that is full pauses the reading first
	s.ln, err = bev.Listen(runner, "tcp4", "127.0.0.1:0", func(c *bev.Conn) {
		c.SetCallbacks(cb)
		c.Enable(bev.Reading)
	}, &bev.ListenOptions{
		Spread: flags.spread(),
		Conn: &bev.ConnOptions{
			ReadWatermark: bev.Watermark{High: 64 << 10},
			ReadTimeout:   b.Timeout,
			WriteTimeout:  b.Timeout,
			IdleTimeout:   b.Timeout,
		},
	})
	return err
}

func (s *idleServer) news() news {
	resident, _ := memory(selfPID) // it is there
	return news{Event: "stats", Conns: s.ln.Stats().Conns, Resident: resident, Pauses: s.pauses.read()}
}
