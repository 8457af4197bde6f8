package leak

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
)

// Descriptors returns the open descriptors of this process and what each
// refers to ("socket:[1234]", "anon_inode:[eventpoll]", a path). It returns
// nil where the system has no folder that lists them, as on Windows. Linux
// alone tells what they refer to; elsewhere the text is the same for all.
func Descriptors() map[int]string {
	dir := "/dev/fd"
	if runtime.GOOS == "linux" {
		dir = "/proc/self/fd"
	}
	// Reading the folder takes a descriptor, which is listed with the rest. It
	// is closed again before the entries are looked up, and so drops out.
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	found := make(map[int]string, len(entries))
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if target, ok := describe(filepath.Join(dir, e.Name())); ok {
			found[fd] = target
		}
	}
	return found
}

// describe says what a descriptor's entry refers to, and false when it is no
// longer open.
func describe(entry string) (string, bool) {
	if runtime.GOOS == "linux" {
		target, err := os.Readlink(entry)
		return target, err == nil
	}
	_, err := os.Stat(entry)
	return "open", err == nil
}

// openRuntimePoller makes the Go runtime open the descriptors of its own
// poller, which it does at the first pipe or socket and never closes.
var openRuntimePoller = sync.OnceFunc(func() {
	r, w, err := os.Pipe()
	if err != nil {
		return // out of descriptors: the tests will say so with a better text
	}
	r.Close()
	w.Close()
})
