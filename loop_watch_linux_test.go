package bev_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
)

func TestWatchOfAnInotifyDescriptor(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	dir := t.TempDir()
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	w := r.watch(fd, bev.Reading, func(*bev.Watch, bev.Dir) {
		b := readSome(t, fd, 4096)
		for len(b) >= syscall.SizeofInotifyEvent {
			n := int(binary.NativeEndian.Uint32([]byte(b[12:16])))
			tr.add("%s", strings.TrimRight(b[16:16+n], "\x00"))
			b = b[16+n:]
		}
	})
	for _, name := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tr.want("one", "two")
	r.wantIdle("no more files were made")
	r.on(func() { w.Stop() })
}
