package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd is "bev version".
type versionCmd struct{}

func (versionCmd) Run(std stdio) error {
	_, err := fmt.Fprintln(std.out, version())
	return err
}

// version says what this program was built from, as far as the go command
// wrote it down: a released version, a revision of a checkout, or neither when
// it was built outside of one.
func version() string {
	text := "bev"
	if info, ok := debug.ReadBuildInfo(); ok {
		text += " " + info.Main.Version
		for _, dep := range info.Deps {
			// A checkout uses the library that lies beside it: that is no
			// version of its own.
			if dep.Path == "github.com/bevgo/bev" && dep.Replace == nil && dep.Version != "(devel)" {
				text += " (library " + dep.Version + ")"
			}
		}
	}
	return fmt.Sprintf("%s %s %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
