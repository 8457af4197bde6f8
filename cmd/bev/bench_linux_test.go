package main

import (
	"encoding/json"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// bench runs a load to its end and returns what it measured.
func bench(t *testing.T, args ...string) *benchResult {
	t.Helper()
	code, out, errs := status(t, program(t, append([]string{"bench"}, args...)...))
	r := &benchResult{}
	if err := json.Unmarshal([]byte(out), r); code != statusOK || err != nil {
		t.Fatalf("bev bench %s: status %d, %q, %q", strings.Join(args, " "), code, out, errs)
	}
	return r
}

// worked says that a load has done something.
func worked(r *benchResult) bool { return r.Ops > 0 }

// against is how a load is told of a server.
func against(s *echoProcess) []string {
	return []string{"--json", "--pid=" + strconv.Itoa(s.cmd.Process.Pid), s.addr}
}

func TestBenchLoads(t *testing.T) {
	s := startEcho(t, "--quiet")
	for _, test := range []struct{ name, args string }{
		{"echo", "echo --conns 3 --size 1000 --pipeline 4 --warmup 0s"},
		{"large messages", "echo --conns 2 --size 300000 --warmup 10ms"},
		{"rate", "rate --parallel 3 --size 70000"},
	} {
		r := longEnough(func(time string) *benchResult {
			return bench(t, append(strings.Fields(test.args+" --duration "+time), against(s)...)...)
		}, worked)
		if r.Ops < 1 || r.P50 <= 0 || r.P99 < r.P50 || r.P999 < r.P99 || r.CPUMicros <= 0 || r.MemoryMiB <= 0 {
			t.Errorf("%s: %+v", test.name, r)
		}
	}
	if r := bench(t, append(strings.Fields("half --size 3000000 --wait 1ms"), against(s)...)...); r.Received != 3000000 {
		t.Errorf("half-close: %d bytes came back, want 3000000", r.Received)
	}
	r := longEnough(func(time string) *benchResult {
		return bench(t, append(strings.Fields("slow --rate 100000 --offer 5000000 --duration "+time), against(s)...)...)
	}, func(r *benchResult) bool { return r.Sent > r.Received })
	if r.Sent <= r.Received || r.Sent > 10_000_000 {
		t.Errorf("a slow reader: sent %d, received %d", r.Sent, r.Received)
	}
	s.stop()
}

func TestBenchProxy(t *testing.T) {
	for _, args := range []string{"--streams 2", "--echo --conns 3 --size 100"} {
		to := backend(t)
		s := startServer(t, "proxy", "--to="+to.Addr().String(), "--quiet")
		if err := to.Close(); err != nil { // the load listens there
			t.Fatal(err)
		}
		r := longEnough(func(time string) *benchResult {
			args := append([]string{"proxy", "--backend=" + to.Addr().String(), "--duration", time, "--warmup=10ms"}, strings.Fields(args)...)
			return bench(t, append(args, against(s)...)...)
		}, func(r *benchResult) bool { return r.MBPerSec > 0 })
		if r.MBPerSec <= 0 || r.CPUPerGB <= 0 && r.CPUMicros <= 0 {
			t.Errorf("%v: %+v", args, r)
		}
		s.stop()
	}
}

// Whatever a load measures, a server that changes a byte has not done its work.
func TestBenchNoticesOtherBytes(t *testing.T) {
	ln := backend(t)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				p := make([]byte, 4096)
				for total := 0; ; {
					n, err := c.Read(p)
					if err != nil {
						if err == io.EOF {
							c.(*net.TCPConn).CloseWrite()
						}
						return
					}
					if total <= 10 && total+n > 10 {
						p[10-total] ^= 1
					}
					total += n
					if _, err := c.Write(p[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	for _, args := range []string{"echo --conns 1", "rate --parallel 1", "half --size 1000 --wait 1ms", "slow", "idle --conns 1 --active 1 --every 1ms"} {
		code, out, errs := status(t, program(t, append(append([]string{"bench"}, strings.Fields(args)...), "--json", ln.Addr().String())...))
		if code != statusFailed || out != "" || !strings.Contains(errs, errOtherBytes.Error()) {
			t.Errorf("bev bench %s: status %d, %q, %q; want the error about other bytes", args, code, out, errs)
		}
	}
}

func TestBenchUsageErrors(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"bench echo :1 --conns 0", "must be above 0"},
		{"bench rate :1 --parallel 0", "must be above 0"},
		{"bench slow :1 --rate 0", "must be above 0"},
		{"bench half :1 --size 0", "must be above 0"},
		{"bench proxy :1", "--backend=ADDR is missing"},
		{"bench proxy :1 --backend :2 --streams 0", "must be above 0"},
	} {
		status, _, errs := runHere(strings.Fields(test.args)...)
		if status != statusUsage {
			t.Errorf("bev %s: status %d, want %d", test.args, status, statusUsage)
		}
		wantLine(t, "bev "+test.args, errs, test.want)
	}
}
