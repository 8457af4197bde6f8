package main

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestBenchIdle(t *testing.T) {
	for _, args := range []string{
		"--conns 300 --clients 2 --active 11",
		"--conns 50 --loops 2 --spread turns", // one in a hundred, which is one here
	} {
		r := longEnough(func(time string) *benchResult {
			return bench(t, append([]string{"idle", "--json", "--every=1ms", "--hold", time}, strings.Fields(args)...)...)
		}, worked)
		conns, clients := 300, 2
		if strings.Contains(args, "--conns 50") {
			conns, clients = 50, 1
		}
		if r.Conns != conns || r.Clients != clients || r.ConnectRate <= 0 || r.CloseSeconds <= 0 || r.BytesPerConn == 0 {
			t.Errorf("%s: %+v", args, r)
		}
		if r.Ops < 1 || r.P50 <= 0 || r.P99 < r.P50 {
			t.Errorf("%s: the active ones: %+v", args, r)
		}
		if r.GCPauses < collections || r.GCPauseP99 < r.GCPauseP50 || r.GCPauseMax < r.GCPauseP99 {
			t.Errorf("%s: the collector: %+v", args, r)
		}
	}
}

func TestBenchIdleOfANamedServer(t *testing.T) {
	s := startEcho(t, "--quiet")
	r := longEnough(func(time string) *benchResult {
		return bench(t, append([]string{"idle", "--conns=100", "--active=100", "--every=1ms", "--hold", time}, against(s)...)...)
	}, worked)
	if r.Conns != 100 || r.Clients != 1 || r.Ops < 1 || r.P50 <= 0 || r.GCPauses != 0 {
		t.Errorf("%+v", r)
	}
	r = bench(t, append([]string{"idle", "--conns=10", "--active=0", "--hold=1ms"}, against(s)...)...)
	if r.Conns != 10 || r.Ops != 0 || r.P50 != 0 {
		t.Errorf("with nobody active: %+v", r)
	}
	s.stop()
}

// A load that cannot be made says why, and leaves no process behind: program
// waits for whoever holds its standard error.
func TestBenchIdleFails(t *testing.T) {
	closes := backend(t)
	go func() {
		for {
			c, err := closes.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--conns=2000000000"}, "ulimit -Hn"},
		{[]string{"--conns=3", nobody.Addr().String()}, "connection refused"},
		{[]string{"--conns=3", "--hold=4s", closes.Addr().String()}, "EOF"},
		{[]string{"--conns=3", "--pid=2000000000", nobody.Addr().String()}, "no process"},
	} {
		code, out, errs := status(t, program(t, append([]string{"bench", "idle", "--json"}, test.args...)...))
		if code != statusFailed || out != "" || !strings.Contains(errs, test.want) {
			t.Errorf("%v: status %d, %q, %q; want %q", test.args, code, out, errs, test.want)
		}
	}
}

func TestBenchPairs(t *testing.T) {
	r := longEnough(func(time string) *benchResult {
		return bench(t, strings.Fields("pairs --json --conns=1000 --active=100 --every=1ms --hold "+time)...)
	}, func(r *benchResult) bool { return r.Ops >= 50 && r.DelayP50 > 0 })
	if r.Conns != 1000 || r.Ops < 50 || r.P50 <= 0 || r.P99 < r.P50 || r.DelayP50 <= 0 || r.DelayMax < r.DelayP99 || r.TickP50 <= 0 || r.TickMax < r.TickP99 || r.GCPauses < 1 || r.GCMillis <= 0 || r.CloseSeconds <= 0 {
		t.Errorf("%+v", r)
	}
}

func TestBenchIdleUsageErrors(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"bench idle --conns 0", "must be above 0"},
		{"bench idle --conns 1 --active 2", "at most --conns"},
		{"bench idle --pid 1", "a server that is named"},
		{"bench idle --loops -1", "--loops"},
		{"bench pairs --conns 1", "must be above 1"},
		{"bench pairs --hold 0s", "above 0"},
	} {
		status, _, errs := runHere(strings.Fields(test.args)...)
		if status != statusUsage {
			t.Errorf("bev %s: status %d, want %d", test.args, status, statusUsage)
		}
		wantLine(t, "bev "+test.args, errs, test.want)
	}
}

func TestPausesAreCounted(t *testing.T) {
	p := startPauses()
	if r := p.read(); r.N > 0 && r.Max == 0 {
		t.Errorf("%+v", r)
	}
	runtime.GC()
	if r := p.read(); r.N < 1 || r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 {
		t.Errorf("after a collection: %+v", r)
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	var b bytes.Buffer
	if p := newProgress(&b); p.w != nil {
		t.Error("a buffer is taken for a terminal")
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if p := newProgress(f); p.w != nil {
		t.Error("a file is taken for a terminal")
	}
	p := &progress{w: &b}
	p.show("opening", 1, 3, ", more")
	p.last = time.Now().Add(time.Hour) // however long this test is stopped here
	p.show("opening", 2, 3, "")        // too soon
	p.clear()
	want := "\r\x1b[Kopening  [##########....................]  33 %  1 of 3, more\r\x1b[K"
	if got := b.String(); got != want {
		t.Errorf("the line is %q, want %q", got, want)
	}
}
