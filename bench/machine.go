package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where and what was measured: without it no figure means anything.
type machine struct {
	when                  time.Time
	processor, system     string
	commit                string
	versions              []string
	loadBefore, loadAfter string
}

func look() *machine {
	m := &machine{when: time.Now(), processor: processor(), system: system(), commit: commit(), loadBefore: loadAverage()}
	return m
}

// programs asks everything that takes part for its version.
func (m *machine) programs(bin string) {
	add := func(what, text string) {
		if text != "" {
			m.versions = append(m.versions, strings.TrimSpace(what+" "+text))
		}
	}
	add("", runtime.Version())
	add("", firstLine("gcc", "--version"))
	add("libevent", firstLine("pkg-config", "--modversion", "libevent"))
	add("", firstLine("haproxy", "-v"))
	add("", strings.TrimPrefix(firstLine("/usr/sbin/nginx", "-v"), "nginx version: "))
	add("", firstLine("strace", "-V"))
	out, _ := exec.Command("go", "version", "-m", filepath.Join(bin, "servers")).Output()
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) >= 3 && words[0] == "dep" && oneOf(words[1], peers) {
			add(words[1], words[2])
		}
	}
}

// peers are the modules that are measured, of all that are linked.
var peers = words("github.com/cloudwego/netpoll github.com/lesismal/nbio github.com/panjf2000/gnet/v2 github.com/tidwall/evio github.com/xtaci/gaio golang.org/x/time")

func oneOf(s string, list []string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

func (m *machine) write(w io.Writer, r *runner) {
	fmt.Fprintf(w, "Measured on %s by `%s`.\n\n", m.when.Format("2006-01-02 15:04"), commandLine())
	fmt.Fprintf(w, "- Commit: %s\n", m.commit)
	fmt.Fprintf(w, "- Machine: %s\n", m.processor)
	fmt.Fprintf(w, "- System: %s\n", m.system)
	fmt.Fprintf(w, "- Versions: %s\n", strings.Join(m.versions, "; "))
	fmt.Fprintf(w, "- Load of the machine before and after (1, 5 and 15 minutes; the bench itself keeps two cores busy): %s; %s\n", m.loadBefore, m.loadAfter)
	fmt.Fprintf(w, "- Rounds: %s of %d that were asked for, as the time allowed, %.2g s each, A B C … A B C …: whatever happens on the machine happens to all\n", r.reached(), r.o.rounds, r.o.seconds)
}

// commandLine is what to type to get this again.
func commandLine() string {
	return strings.Join(append([]string{"go run ."}, os.Args[1:]...), " ")
}

// processor is the model of the machine. Source: proc(5), cpuinfo.
func processor() string {
	name := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if after, ok := strings.CutPrefix(line, "model name"); ok {
				name = strings.Trim(after, "\t :\n")
				break
			}
		}
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		name += fmt.Sprintf(", %d GiB", (uint64(info.Totalram)*uint64(info.Unit)+1<<29)>>30)
	}
	return fmt.Sprintf("%s, %d cores", name, runtime.NumCPU())
}

// system is the kernel, the distribution, and what of the kernel's settings
// the figures hang on.
func system() string {
	var u unix.Utsname
	text := runtime.GOOS + "/" + runtime.GOARCH
	if err := unix.Uname(&u); err == nil {
		text += ", " + unix.ByteSliceToString(u.Release[:])
	}
	if release, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(release)) {
			if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
				text += ", " + strings.Trim(name, "\"\n")
			}
		}
	}
	if name, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil {
		text += ", TCP " + strings.TrimSpace(string(name))
	}
	return text + ", all traffic on loopback"
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	words := strings.Fields(string(text))
	return strings.Join(words[:min(len(words), 3)], " ")
}

// commit is what the servers are built from. Results are no part of it.
func commit() string {
	out, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		return "unknown: not in a git checkout"
	}
	text := strings.TrimSpace(string(out))
	if changed, err := exec.Command("git", "status", "--porcelain", "--", ":/", ":!/bench/RESULTS.md", ":!/bench/results").Output(); err != nil || len(changed) > 0 {
		text += ", and changes on top that are not committed: " + strconv.Itoa(strings.Count(string(changed), "\n")) + " files"
	}
	return text
}
