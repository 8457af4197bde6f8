//go:build interop && linux

package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startProxy starts "bev proxy --quiet", which the test has to stop, and
// returns its address.
func startProxy(t *testing.T, args ...string) (*server, string) {
	t.Helper()
	s := start(t, bev(t), append([]string{"proxy", "--quiet", "--listen=127.0.0.1:0"}, args...)...)
	return s, s.address(t)
}

// resident is how much memory a server takes, in MiB.
func (s *server) resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmRSS in %s", status)
	}
	kB, _ := strconv.Atoi(string(m[1])) // it is digits
	return kB >> 10
}

// bigFile is the size of a file that no buffer on the way holds.
const bigFile = 256 << 20

// onTheWay is how many bytes a way over so many connections may hold: what the
// kernel has for each, which is 10 MiB on one machine and 36 or 64 on another,
// and 16 MiB, which is more than the programs between them keep. Source: tcp(7),
// tcp_rmem and tcp_wmem.
func onTheWay(t *testing.T, conns int64) int64 {
	t.Helper()
	bytes := int64(16 << 20) // of the programs
	for _, name := range []string{"tcp_rmem", "tcp_wmem"} {
		text, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var least, normal, most int64
		if _, err := fmt.Sscan(string(text), &least, &normal, &most); err != nil {
			t.Fatalf("%s is %q: %v", name, text, err)
		}
		bytes += conns * most
	}
	return bytes
}

// website makes a folder with a page and a large file.
func website(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page"), []byte(strings.Repeat("Hello, world!\n", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "big"), bigFile); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startNginx serves a folder on a unix socket, whose path it returns: nginx
// cannot take a port that is free.
func startNginx(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "socket")
	conf := fmt.Sprintf(`
		user root;
		daemon off;
		worker_processes 1;
		pid %[1]s/pid;
		error_log stderr notice;
		events {}
		http {
			access_log off;
			client_body_temp_path %[1]s/body;
			proxy_temp_path %[1]s/proxy;
			fastcgi_temp_path %[1]s/fastcgi;
			uwsgi_temp_path %[1]s/uwsgi;
			scgi_temp_path %[1]s/scgi;
			server { listen unix:%[2]s; root %[3]s; }
		}`, dir, path, root)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, need(t, "nginx"), "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "conf"))
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) // not killed, or its worker would live on
		cmd.Wait()
	})
	said := bufio.NewReader(log)
	for all := ""; ; {
		line, err := said.ReadString('\n')
		all += line
		if strings.Contains(line, "start worker process ") { // it listens since before that
			go io.Copy(io.Discard, said)
			return path
		}
		if err != nil {
			t.Fatalf("nginx said\n%s%v", all, err)
		}
	}
}

// startPython serves a folder on a port.
func startPython(t *testing.T, root string) string {
	t.Helper()
	s := start(t, need(t, "python3"), "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", root)
	line := s.line(t)
	m := regexp.MustCompile(`port (\d+)`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("python3 -m http.server said %q", line)
	}
	return "127.0.0.1:" + m[1]
}

var wrkRequests = regexp.MustCompile(`(\d+) requests in`)

// wrk loads a page for a second, or for longer where no request is answered in
// one. Every request must be answered well, and may take as long as it takes:
// wrk counts one of two seconds as an error unless it is told otherwise.
func wrk(t *testing.T, url string) {
	t.Helper()
	var out string
	var m []string
	for d := time.Second; d < limit/4 && (m == nil || m[1] == "0"); d *= 4 {
		out = string(run(t, nil, need(t, "wrk"), "-t1", "-c16", "--timeout", "60s", "-d", d.String(), url))
		m = wrkRequests.FindStringSubmatch(out)
	}
	if m == nil || m[1] == "0" || strings.Contains(out, "errors") || strings.Contains(out, "Non-2xx") {
		t.Errorf("wrk %s said\n%s", url, out)
	} else {
		t.Logf("wrk %s: %s requests", url, m[1])
	}
}

// stall asks for a large file and reads nothing of it but its beginning, so
// that the answer is on its way.
func stall(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /big HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
}

// flat is how many MiB a proxy may take more than before: garbage that was not
// collected yet, not the 256 MiB that somebody does not read.
const flat = 32

// Web servers of others behind the proxy, under load, while somebody else does
// not read the large file that he has asked for.
func TestInteropProxyWeb(t *testing.T) {
	root := website(t)
	for name, args := range map[string][]string{
		"nginx":  {"--to=" + startNginx(t, root), "--to-network=unix"},
		"python": {"--to=" + startPython(t, root)},
	} {
		for _, splice := range [][]string{nil, {"--no-splice"}} {
			t.Run(name+strings.Join(splice, ""), func(t *testing.T) {
				s, addr := startProxy(t, append(args, splice...)...)
				wrk(t, "http://"+addr+"/page")
				before := s.resident(t)
				for range 4 {
					stall(t, addr)
				}
				wrk(t, "http://"+addr+"/page")
				big := run(t, nil, need(t, "curl"), "--silent", "--show-error", "--fail", "http://"+addr+"/big")
				if len(big) != bigFile {
					t.Errorf("%d bytes of %d came", len(big), bigFile)
				}
				if grown := s.resident(t) - before; grown > flat {
					t.Errorf("the proxy grew by %d MiB while four peers did not read", grown)
				} else {
					t.Logf("the proxy grew by %d MiB, from %d", grown, before)
				}
				s.kill() // the four are still there
			})
		}
	}
}

// iperf3 through the proxy, its connection for control as well as the one that
// is measured, both ways.
func TestInteropProxyIperf(t *testing.T) {
	const size = 512 << 20
	for _, args := range [][]string{nil, {"--no-splice"}} {
		for _, way := range [][]string{nil, {"--reverse"}} {
			s, addr := startProxy(t, append(args, "--to="+startIperf(t))...)
			host, port := hostPort(t, addr)
			before := s.resident(t)
			out := run(t, nil, need(t, "iperf3"), append([]string{"--json", "-c", host, "-p", port, "-n", strconv.Itoa(size)}, way...)...)
			var report struct {
				End struct {
					Sent     struct{ Bytes int64 } `json:"sum_sent"`
					Received struct {
						Bytes         int64
						BitsPerSecond float64 `json:"bits_per_second"`
					} `json:"sum_received"`
				}
			}
			if err := json.Unmarshal(out, &report); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			// iperf3 does not wait for what is on its way when the last block
			// is sent: it closes upon it, and the proxy complains of that.
			if got := report.End.Received.Bytes; report.End.Sent.Bytes < size || got < size-onTheWay(t, 2) {
				t.Errorf("%q %q: iperf3 sent %d and received %d bytes of %d: %s", args, way, report.End.Sent.Bytes, got, size, out)
			}
			grown := s.resident(t) - before
			if grown > flat {
				t.Errorf("%q %q: the proxy grew by %d MiB", args, way, grown)
			}
			t.Logf("%q %q: %.1f Gbit/s, %d MiB more", args, way, report.End.Received.BitsPerSecond/1e9, grown)
			s.kill()
		}
	}
}

// startIperf starts an iperf3 server for one run. It takes no port 0, and
// somebody else may take a port that was free a moment ago.
func startIperf(t *testing.T) string {
	t.Helper()
	for range 10 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		ln.Close()
		_, port := hostPort(t, addr)
		s := start(t, need(t, "iperf3"), "--server", "--one-off", "--forceflush", "--bind", "127.0.0.1", "--port", port)
		for {
			line, err := s.out.ReadString('\n')
			if strings.Contains(line, "Server listening") {
				go io.Copy(io.Discard, s.out)
				return addr
			}
			if err != nil {
				break // the port is taken
			}
		}
	}
	t.Fatal("iperf3 got no port in ten tries")
	return ""
}

// What every server is asked, through a proxy: an echo server behind it that is
// bounded itself, flooded by a peer who does not read, and a peer who ends its
// sending long before it reads.
func TestInteropProxyFloodAndHalf(t *testing.T) {
	echo, to := startEcho(t)
	for _, args := range [][]string{nil, {"--no-splice"}} {
		s, addr := startProxy(t, append(args, "--to="+to)...)
		var flood struct {
			Sent   int64   `json:"bytes_sent"`
			Growth float64 `json:"growth_mib"`
		}
		out := run(t, nil, bev(t), "bench", "flood", "--json", "--pid", strconv.Itoa(s.pid), addr)
		if err := json.Unmarshal(out, &flood); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if flood.Sent > onTheWay(t, 4) || flood.Growth > flat {
			t.Errorf("%q: flooded, it took %d bytes and grew by %.1f MiB", args, flood.Sent, flood.Growth)
		}
		var half struct {
			Received int64 `json:"bytes_received"`
		}
		out = run(t, nil, bev(t), "bench", "half", "--json", "--size", "8000000", addr)
		if err := json.Unmarshal(out, &half); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if half.Received != 8000000 {
			t.Errorf("%q: %d of 8000000 bytes came back to a late reader", args, half.Received)
		}
		t.Logf("%q: flooded, it took %.1f MiB and grew by %.1f MiB; half-closed, all came back", args, float64(flood.Sent)/(1<<20), flood.Growth)
		s.kill() // it complains of the flood, which broke off
	}
	echo.kill()
}

// The example that serves net/http on bev.
func TestInteropHTTPServer(t *testing.T) {
	server := compiled(t, "http-server", goBuild("http-server"))
	s := start(t, server, "-listen", "127.0.0.1:0")
	url := strings.TrimPrefix(s.line(t), "listening on ")
	wrk(t, url+"/hello")
	curl := need(t, "curl")
	if got := run(t, nil, curl, "--silent", "--fail", url+"/hello"); string(got) != "Hello, world!\n" {
		t.Errorf("curl got %q", got)
	}
	file, data := noise(t, fiveMB)
	wantSame(t, run(t, nil, curl, "--silent", "--fail", "--upload-file", file.Name(), url+"/echo"), data)
}
