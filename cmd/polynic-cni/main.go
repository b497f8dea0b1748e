// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command polynic-cni is the CNI plugin that the container runtime executes.
// It knows nothing: it hands the request to polynic-agent and prints the
// reply. Only VERSION, a DEL and a STATUS that no agent answers end here.
//
// It runs for every pod, so its start-up is kept near that of an empty Go
// program: packages os, net, fmt, time and encoding/json are not in it (each
// is initialised at every start), and the runtime is told above not to read
// cgroup and mount tables for a GOMAXPROCS that nobody uses.
package main

import (
	"errors"
	"runtime"
	"strconv"
	"syscall"

	"github.com/polynic/polynic/api/cniwire"
)

// answer is what the container runtime gets.
type answer struct {
	status int
	stdout []byte
	stderr string
}

func main() {
	// With one processor the runtime's watcher goes to sleep as soon as main
	// waits. With more it wakes some fifty times in the time of an ADD, and takes
	// that much from the agent.
	runtime.GOMAXPROCS(1)
	a := run(environment())
	if a.stderr != "" {
		_ = write(syscall.Stderr, []byte("polynic-cni: "+a.stderr+"\n"))
	}
	if err := write(syscall.Stdout, a.stdout); err != nil {
		syscall.Exit(1)
	}
	syscall.Exit(a.status)
}

// run answers one request. A DEL fails for an environment or a configuration
// that cannot be used, and where the agent says so; no agent is not a failure.
func run(request cniwire.Request) answer {
	if request.Command == "" && isVersionAsked() {
		return answer{stdout: versionLine()}
	}
	if request.Command == "" {
		return fail(cniwire.NetConf{}, cniwire.CodeInvalidEnvironment, "CNI_COMMAND is not set: polynic-cni is started by a container runtime, not by hand")
	}
	until := deadlineOf(request.Command)
	stdin, err := readStdin(until)
	if err != nil {
		return fail(cniwire.NetConf{}, cniwire.CodeIO, "network configuration on standard input: "+err.Error())
	}
	conf, err := cniwire.ParseNetConf(stdin)
	if request.Command == "VERSION" {
		return answer{stdout: cniwire.AppendVersions(nil, conf.CNIVersion)}
	}
	if complaint := checkEnvironment(&request); complaint != "" {
		return fail(conf, cniwire.CodeInvalidEnvironment, complaint)
	}
	if err != nil {
		return fail(conf, cniwire.CodeDecode, "network configuration on standard input: "+err.Error())
	}
	if complaint := checkPaths(conf); complaint != "" {
		return fail(conf, cniwire.CodeInvalidConfig, complaint)
	}
	request.Stdin = stdin
	reply, err := exchange(conf.Socket, request, until)
	if err == nil {
		return answer{status: int(reply.Status), stdout: reply.Stdout}
	}
	complaint := unanswered(conf.Socket, err)
	switch request.Command {
	case "DEL":
		return deleteLater(conf, request, complaint)
	case "STATUS":
		return rememberedStatus(conf, complaint)
	default:
		return fail(conf, cniwire.CodeTryAgainLater, complaint)
	}
}

// deadlineOf bounds one run. ADD, CHECK and GC outlast the agent's own bounds,
// so that it is the agent that says what took so long, and stay below the two
// minutes and more that kubelet waits. DEL has no reason to wait for a slow
// agent, because nothing is lost when it gives up: the agent carries the
// request out, and the tombstone makes it do so if it dies before. STATUS has
// to answer within a second. What is left of that second is for starting up
// and for the tombstone.
func deadlineOf(command string) deadline {
	switch command {
	case "ADD":
		return in(100_000)
	case "CHECK":
		return in(20_000)
	case "GC":
		return in(70_000)
	default:
		return in(700)
	}
}

// unanswered is the sentence for an exchange that ended in err.
func unanswered(socket string, err error) string {
	if other, ok := errors.AsType[*cniwire.VersionError](err); ok {
		return "polynic-agent on " + socket + " speaks protocol version " + strconv.Itoa(int(other.Theirs)) +
			" and this polynic-cni version " + strconv.Itoa(cniwire.Version) + ": install both from one release."
	}
	return "polynic-agent does not answer on " + socket + ": " + err.Error() + "; is it running?"
}

func fail(conf cniwire.NetConf, code cniwire.Code, msg string) answer {
	return answer{status: 1, stdout: cniwire.AppendError(nil, conf.CNIVersion, code, msg)}
}
