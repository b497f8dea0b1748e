// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/cniserver/recorder"
)

func TestVersion(t *testing.T) {
	const supported = `"supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}`
	for stdin, version := range map[string]string{
		`{"cniVersion":"1.0.0"}`: "1.0.0",
		`{"cniVersion":"7.0.0"}`: "1.1.0",
		"":                       "0.1.0",
		"garbage":                "0.1.0",
	} {
		run := plugin(t, "CNI_COMMAND=VERSION", stdin)
		if want := `{"cniVersion":"` + version + `",` + supported + "\n"; run.status != 0 || run.stdout != want {
			t.Errorf("%q: status %d, %s", stdin, run.status, run.stdout)
		}
	}
}

// A person asks with an argument; with a runtime's environment that says nothing.
func TestVersionOfTheProgram(t *testing.T) {
	command := exec.CommandContext(t.Context(), filepath.Join(binaries, "polynic-cni"), "--version")
	command.Env = []string{}
	out, err := command.Output()
	if err != nil || !regexp.MustCompile(`^polynic-cni v1\.2\.3 \(go\S+, linux/\w+\)\n$`).Match(out) {
		t.Errorf("%q, %v", out, err)
	}
	command = exec.CommandContext(t.Context(), filepath.Join(binaries, "polynic-cni"), "--version")
	command.Env = []string{"CNI_COMMAND=VERSION"}
	if out, err := command.Output(); err != nil || !strings.HasPrefix(string(out), `{"cniVersion":`) {
		t.Errorf("for a runtime: %q, %v", out, err)
	}
}

func TestEnvironmentIsChecked(t *testing.T) {
	n, verbs := newNode(t), &recorder.Recorder{}
	n.serve(t, verbs)
	for env, says := range map[string]string{
		"": "CNI_COMMAND is not set",
		"CNI_COMMAND=UPDATE CNI_CONTAINERID=c CNI_IFNAME=eth0": "CNI_COMMAND is UPDATE",
		"CNI_COMMAND=ADD CNI_CONTAINERID=c CNI_IFNAME=eth0":    "CNI_NETNS",
		"CNI_COMMAND=ADD CNI_NETNS=/n CNI_IFNAME=eth0":         "CNI_CONTAINERID",
		"CNI_COMMAND=ADD": "CNI_CONTAINERID CNI_NETNS CNI_IFNAME",
		"CNI_COMMAND=CHECK CNI_CONTAINERID=c CNI_NETNS=/n":                  "CNI_IFNAME",
		"CNI_COMMAND=DEL CNI_IFNAME=eth0":                                   "CNI_CONTAINERID",
		"CNI_COMMAND=DEL CNI_CONTAINERID=c":                                 "CNI_IFNAME",
		"CNI_COMMAND=ADD CNI_CONTAINERID=../c CNI_NETNS=/n CNI_IFNAME=eth0": `CNI_CONTAINERID "../c"`,
	} {
		if msg := wantError(t, plugin(t, env, n.conf()), cniwire.CodeInvalidEnvironment); !strings.Contains(msg, says) {
			t.Errorf("%q says %q, want %q", env, msg, says)
		}
	}
	if calls := verbs.Calls(); len(calls) > 0 {
		t.Errorf("the pod path was called: %+v", calls)
	}
}

func TestStdinIsChecked(t *testing.T) {
	n := newNode(t)
	n.serve(t, &recorder.Recorder{})
	for stdin, code := range map[string]cniwire.Code{
		"":        cniwire.CodeDecode,
		"garbage": cniwire.CodeDecode,
		"[]":      cniwire.CodeDecode,
		`{"cniVersion":"1.1.0","name":"net","socket":"run/cni.sock"}`: cniwire.CodeInvalidConfig,
		`{"cniVersion":"1.1.0","name":"net","stateDir":"lib"}`:        cniwire.CodeInvalidConfig,
		bigConf(n, cniwire.MaxStdin+1):                                cniwire.CodeIO,
	} {
		for _, env := range []string{addEnv, delEnv, checkEnv, gcEnv, statusEnv} {
			wantError(t, plugin(t, env, stdin), code)
		}
	}
	unnamed := `{"cniVersion":"1.1.0","socket":"` + n.socket + `"}`
	wantError(t, plugin(t, addEnv, unnamed), cniwire.CodeInvalidConfig)
	wantOK(t, plugin(t, delEnv, unnamed))
}

// bigConf is a valid configuration of exactly size bytes.
func bigConf(n node, size int) string {
	rest := strings.TrimPrefix(n.conf(), "{")
	return `{"filler":"` + strings.Repeat("x", size-len(rest)-len(`{"filler":"",`)) + `",` + rest
}

func TestBiggestConfiguration(t *testing.T) {
	n := newNode(t)
	n.serve(t, &recorder.Recorder{})
	if run := plugin(t, addEnv, bigConf(n, cniwire.MaxStdin)); run.status != 0 {
		t.Errorf("status %d: %s", run.status, run.stdout)
	}
}

// A runtime that never closes our stdin is not waited for either.
func TestStdinThatNeverEnds(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	run := withinASecond(t, func() finished { return pluginReading(t, delEnv, read) })
	wantError(t, run, cniwire.CodeIO)
}

// A variable beyond the protocol's bound cannot be asked about; a DEL goes on
// without.
func TestEnvironmentBeyondBounds(t *testing.T) {
	n := newNode(t)
	n.serve(t, &recorder.Recorder{})
	long := " CNI_ARGS=" + strings.Repeat("x", cniwire.MaxText+1)
	if msg := wantError(t, plugin(t, addEnv+long, n.conf()), cniwire.CodeTryAgainLater); !strings.Contains(msg, "CNI_ARGS is longer than 8192 bytes") {
		t.Errorf("it says %q", msg)
	}
	wantTombstone(t, n, plugin(t, delEnv+long, n.conf()))
}

func TestTombstoneThatCannotBeLeft(t *testing.T) {
	n := newNode(t)
	writeFile(t, n.state, "in the way")
	run := plugin(t, delEnv, n.conf())
	wantOK(t, run)
	for _, part := range []string{n.socket, n.state, "not a directory"} {
		if !strings.Contains(run.stderr, part) {
			t.Errorf("stderr has no %q: %s", part, run.stderr)
		}
	}
}

// The same DEL again leaves the same file, and half-written ones do not stay.
func TestTombstoneAgain(t *testing.T) {
	n := newNode(t)
	for range 3 {
		wantTombstone(t, n, plugin(t, delEnv, n.conf()))
	}
}

func TestStatusRemembersTheAgent(t *testing.T) {
	const never, longAgo = "It was never ready on this node.", "and 60 are allowed."
	for name, test := range map[string]struct {
		content string
		age     time.Duration
		says    string // empty for ready
	}{
		"away for a moment":   {"60\n", 2 * time.Second, ""},
		"just now":            {"60\n", -time.Second, ""},
		"away for too long":   {"60\n", 75 * time.Second, longAgo},
		"clock was set back":  {"60\n", -75 * time.Second, longAgo},
		"longer limit":        {"600\n", 75 * time.Second, ""},
		"content is garbage":  {"sixty", time.Second, never},
		"content is not ours": {strings.Repeat("9", 4000), time.Second, never},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			if err := os.Mkdir(n.state, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(n.state, cniwire.ReadyFile)
			writeFile(t, path, test.content)
			when := time.Now().Add(-test.age)
			if err := os.Chtimes(path, when, when); err != nil {
				t.Fatal(err)
			}
			run := plugin(t, statusEnv, n.conf())
			if test.says == "" {
				wantOK(t, run)
			} else if msg := wantError(t, run, cniwire.CodeNotAvailable); !strings.Contains(msg, test.says) || !strings.Contains(msg, n.socket) {
				t.Errorf("it says %q", msg)
			}
		})
	}
}

// The agent, which says what took so long, gives up before polynic-cni does.
func TestDeadlinesOutlastTheAgent(t *testing.T) {
	bounds := cniserver.DefaultBounds()
	for command, bound := range map[string]time.Duration{"ADD": bounds.Add, "CHECK": bounds.Check, "GC": bounds.GC} {
		if ours := time.Duration(deadlineOf(command).whole); ours <= bound || ours >= 2*time.Minute {
			t.Errorf("%s: polynic-cni waits %s, the agent %s", command, ours, bound)
		}
	}
}

// An agent that takes only the beginning of a request holds nobody up.
func TestExchangeEndsWithItsDeadline(t *testing.T) {
	n := newNode(t)
	listenRaw(t, n, 1)
	begin := time.Now()
	_, err := exchange(n.socket, cniwire.Request{Command: "ADD", Stdin: make([]byte, cniwire.MaxStdin)}, in(50))
	if took := time.Since(begin); !errors.Is(err, errTimeout) || took > 10*time.Second {
		t.Errorf("%v after %s, want %v after 50ms", err, took, errTimeout)
	}
}
