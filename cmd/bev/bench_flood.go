package main

import (
	"errors"
	"time"
)

// benchFlood is "bev flood unread" as a load of the bench: one peer that sends
// and never reads, for as long as the server takes.
type benchFlood struct {
	benchTarget
	Offer int64         `default:"2000000000" help:"Bytes to offer at most."`
	Quiet time.Duration `default:"1s" help:"The server has stopped taking when nothing went for so long."`
}

// Validate is called by kong.
func (b *benchFlood) Validate() error {
	if b.Offer < 1 || b.Quiet <= 0 {
		return errors.New("--offer and --quiet must be above 0")
	}
	return nil
}

// Run is called by kong.
func (b *benchFlood) Run(std stdio) error {
	a := &floodUnread{Conns: 1, Offer: b.Offer}
	a.floodTarget = floodTarget{benchTarget: b.benchTarget, Duration: time.Minute, Quiet: b.Quiet, Remote: true}
	return a.Run(std)
}
