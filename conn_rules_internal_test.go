package bev

import (
	"testing"
	"time"
)

// Conns that are born alike share their rules; a setter gives the Conn others
// and leaves those of the rest alone; and who returns to rules that are known
// shares again.
func TestConnsShareTheirRules(t *testing.T) {
	l, err := NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn := func() *Conn {
		c, err := NewConn(l, -1, &ConnOptions{ReadTimeout: time.Second, OutputLimit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := conn(), conn()
	born := a.rules
	if b.rules != born {
		t.Error("two Conns with the same options have rules of their own")
	}
	for _, change := range []func(c *Conn){
		func(c *Conn) { c.SetTimeouts(time.Minute, 0) },
		func(c *Conn) { c.SetIdleTimeout(time.Minute) },
		func(c *Conn) { c.SetMaxSingle(1, 2) },
		func(c *Conn) { c.SetOutputLimit(7) },
		func(c *Conn) {
			if err := c.SetWatermark(Writing, Watermark{Low: 1, High: 2}); err != nil {
				t.Error(err)
			}
		},
	} {
		was := a.rules
		change(a)
		if a.rules == was || b.rules != born {
			t.Fatalf("a setter changed the rules of a: %v, of b: %v", a.rules != was, b.rules != born)
		}
		if a.setRules(*was); a.rules != was {
			t.Error("rules that are known are not shared again")
		}
		change(a)
	}
	// More than anybody keeps.
	for n := range 100 {
		a.SetOutputLimit(n)
	}
	if a.OutputLimit() != 99 || b.OutputLimit() != 1000 {
		t.Errorf("limits %d and %d, want 99 and 1000", a.OutputLimit(), b.OutputLimit())
	}
	if n := testing.AllocsPerRun(100, func() { a.SetTimeouts(time.Second, 0); a.SetTimeouts(time.Hour, 0) }); n != 0 {
		t.Errorf("switching between two timeouts allocates %v times", n)
	}
}

// Dial may be called from any goroutine while the Loop hands out rules.
func TestDialDoesNotTouchTheRulesOfTheLoop(t *testing.T) {
	l, err := NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := l.rules
	d, err := newDialing(t.Context(), l, "tcp", "192.0.2.1:80", nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.rules != before || d.c.rules == nil {
		t.Error("the rules of a Conn that is not the Loop's yet are in its book")
	}
}
