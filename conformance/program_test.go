//go:build interop

package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bevgo/bev/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// compile builds a C program of this folder against libevent and returns its
// path.
func compile(t testing.TB, name string, sources ...string) string {
	t.Helper()
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libevent").Output()
	if err != nil {
		t.Fatalf("pkg-config knows no libevent (%v): install the packages pkg-config and libevent-dev", err)
	}
	binary := filepath.Join(t.TempDir(), name)
	args := []string{"-O2", "-g", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", binary}
	for _, s := range sources {
		args = append(args, filepath.Join("libevent", s))
	}
	args = append(args, strings.Fields(string(flags))...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc %s: %v (packages gcc and libc6-dev)\n%s", strings.Join(args, " "), err, out)
	}
	return binary
}

// A program is one of ours on libevent, running. It takes scripts and gives a
// line for each of theirs.
type program struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	ended  sync.Once
}

// start runs a program until the test ends.
func start(t testing.TB, binary string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(binary, args...)}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReaderSize(out, 1<<16)
	t.Cleanup(p.stop)
	return p
}

// stop ends the program and waits until it has gone.
func (p *program) stop() {
	p.ended.Do(func() {
		p.in.Close()
		// Its exit code says nothing that run has not said.
		_ = p.cmd.Wait()
	})
}

// run gives the program a script and returns its results, one for each line of
// the script. The error is for a program that did not survive it.
func (p *program) run(script []string) ([]string, error) {
	sent := make(chan error, 1)
	go func() {
		var b bytes.Buffer
		for _, line := range script {
			b.WriteString(line)
			b.WriteByte('\n')
		}
		b.WriteString("end\n")
		_, err := p.in.Write(b.Bytes())
		sent <- err
	}()
	results := make([]string, 0, len(script))
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			p.stop() // it has ended: its output did
			<-sent
			return nil, fmt.Errorf("%s ended (%v) after %d of %d lines: %s",
				filepath.Base(p.cmd.Path), p.cmd.ProcessState, len(results), len(script), p.stderr.String())
		}
		line = line[:len(line)-1]
		if line == "." {
			break
		}
		results = append(results, line)
	}
	if err := <-sent; err != nil {
		return nil, err
	}
	return results, nil
}
