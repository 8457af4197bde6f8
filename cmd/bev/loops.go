package main

import (
	"errors"

	"github.com/bevgo/bev"
)

// loopFlags say how a server uses the cores of the machine.
type loopFlags struct {
	Loops  int    `group:"loops" default:"1" placeholder:"N" help:"Serve with so many loops, each on a goroutine of its own; 0 for one a core (default ${default})."`
	Spread string `group:"loops" enum:"kernel,least,turns" default:"kernel" placeholder:"HOW" help:"With several loops, who gets a caller: whom the kernel picks (kernel), who has the fewest (least), each in turn (turns); default ${default}."`
}

// checkLoops is for Validate.
func (f *loopFlags) checkLoops() error {
	if f.Loops < 0 {
		return errors.New("--loops: there cannot be fewer than none")
	}
	return nil
}

// runner makes a Loop, or a group of them. What serves a connection is the same
// for both; only what connections share has to be looked at twice, because the
// callbacks of several loops run at the same time.
func (f *loopFlags) runner(o *bev.LoopOptions) (bev.Runner, []*bev.Loop, error) {
	if f.Loops == 1 {
		l, err := bev.NewLoop(o)
		return l, []*bev.Loop{l}, err
	}
	g, err := bev.NewLoopGroup(f.Loops, o)
	if err != nil {
		return nil, nil, err
	}
	return g, g.Loops(), nil
}

func (f *loopFlags) spread() bev.Spread {
	switch f.Spread {
	case "least":
		return bev.SpreadLeastConns
	case "turns":
		return bev.SpreadRoundRobin
	default:
		return bev.SpreadKernel
	}
}
