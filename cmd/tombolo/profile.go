package main

import (
	"fmt"
	"os"

	"github.com/pkg/profile"
	"github.com/spf13/pflag"
)

const profileKinds = "cpu, mem, block, mutex or trace"

// profilers are the kinds of profile.
var profilers = map[string]func(*profile.Profile){
	"cpu":   profile.CPUProfile,
	"mem":   profile.MemProfile,
	"block": profile.BlockProfile,
	"mutex": profile.MutexProfile,
	"trace": profile.TraceProfile,
}

// profiling is a profile of this process. Owned by the command.
type profiling struct {
	kind string
	dir  string
}

func (p *profiling) flags(fl *pflag.FlagSet) {
	fl.StringVar(&p.kind, "profile", "", "write a profile of this process: "+profileKinds)
	fl.StringVar(&p.dir, "profile-dir", ".", "directory of the profile")
}

func (p *profiling) check() error {
	if _, ok := profilers[p.kind]; !ok && p.kind != "" {
		return fmt.Errorf("profile %q: give %s", p.kind, profileKinds)
	}
	return nil
}

// start begins the profile, if one is wanted; stop writes it. Signals are left
// alone: the profile's own hook would end the process on SIGINT, in the middle
// of a drain.
func (p *profiling) start() (stop func(), err error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.kind == "" {
		return func() {}, nil
	}
	// Looked at here, because the library ends the process where it cannot write.
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, fail(exitEnvironment, fmt.Errorf("directory of the profile: %w", err))
	}
	probe, err := os.CreateTemp(p.dir, ".profile-")
	if err != nil {
		return nil, fail(exitEnvironment, fmt.Errorf("directory of the profile: %w", err))
	}
	probe.Close()
	os.Remove(probe.Name())
	return profile.Start(profilers[p.kind], profile.ProfilePath(p.dir), profile.NoShutdownHook, profile.Quiet).Stop, nil
}
