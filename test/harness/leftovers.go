// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Leftovers is everything that a pod could leave behind: what the kernel has in
// the node's namespace, the files under the node's folders, what the journal
// and the agent know, and what agent and relay have open. As text, so that a
// difference shows itself.
type Leftovers string

// looks are the commands that show what a namespace has.
func looks() []string {
	return []string{
		"ip -o link", "ip -o -4 addr", "ip -o -6 addr", "ip -4 route show table all", "ip -6 route show table all",
		"ip rule", "ip -6 rule", "ip neigh show nud permanent", "ip -6 neigh show nud permanent",
	}
}

// LookAtKernel takes stock of what the kernel has outside of pods, whether agent
// and relay run or not.
func (n *Node) LookAtKernel() (Leftovers, error) {
	var b strings.Builder
	for _, command := range append(looks(), "nft --stateless list ruleset",
		"cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding") {
		args := strings.Fields(command)
		out, err := output(args[0], args[1:]...)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "# %s\n%s", command, volatile(out))
	}
	err := n.stub(&b)
	return Leftovers(b.String()), err
}

// Look takes stock now.
func (n *Node) Look() (Leftovers, error) {
	var b strings.Builder
	kernel, err := n.LookAtKernel()
	if err != nil {
		return "", err
	}
	b.WriteString(string(kernel))
	if err := n.files(&b); err != nil {
		return "", err
	}
	if status, err := n.Status(); err == nil {
		fmt.Fprintf(&b, "# agent\n%+v %v\n%+v\n", status.Counts, status.Problems, n.OpenFiles())
	}
	return Leftovers(b.String()), nil
}

// Look lists what is in the pod's namespace.
func (p *Pod) Look() (Leftovers, error) {
	out, err := p.Output("sh", "-ec", "exec 2>/dev/null\n"+strings.Join(looks(), "\n"))
	return Leftovers(volatile(out)), err
}

// MustLook is Look once the kernel is done with the pod's link-local addresses, which
// it goes on with for some seconds after an ADD.
func (p *Pod) MustLook() Leftovers {
	p.node.TB.Helper()
	var seen Leftovers
	Eventually(p.node.TB, 20*time.Second, func() error {
		now, err := p.Look()
		if err == nil && (now != seen || strings.Contains(string(now), " tentative ")) {
			seen, err = now, errors.New("things change")
		}
		return err
	})
	return seen
}

// stub lists the links of the stub network's namespace.
func (n *Node) stub(b *strings.Builder) error {
	if _, err := os.Stat(n.stubPath()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	out, err := n.InStub("ip", "-o", "link")
	fmt.Fprintf(b, "# stub network\n%s", volatile(out))
	return err
}

func (n *Node) stubPath() string { return filepath.Join(n.Config.NetnsDir(), "stub") }

// InStub runs a command in the stub network's namespace. Its pin lies in this
// mount namespace: agent and test share it.
func (n *Node) InStub(command string, args ...string) (string, error) {
	return output("nsenter", append([]string{"--net=" + n.stubPath(), command}, args...)...)
}

// output is what a command prints, without its complaints: ip has some about
// files in /run/netns that are no namespaces.
func output(command string, args ...string) (string, error) {
	cmd := exec.Command(command, args...)
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("%s: %w: %s", cmd, err, failed.Stderr)
	}
	return string(out), err
}

// files lists what lies in the node's folders, without the journal's content:
// its dead records go at the next compaction.
func (n *Node) files(b *strings.Builder) error {
	fmt.Fprintf(b, "# files\n")
	for _, dir := range []string{n.Config.StateDir, n.Config.RunDir} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !strings.HasSuffix(path, ".new") && !n.isContainers(path) {
				fmt.Fprintln(b, strings.TrimPrefix(path, n.Dir))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// OpenFiles is how many files that keep something of a pod alive are open:
// namespaces, taps, and the folders of sockets.
type OpenFiles struct{ AgentNamespaces, RelayNamespaces, Taps, Folders int }

// OpenFiles counts what agent and relay have open now.
func (n *Node) OpenFiles() OpenFiles {
	count := func(pid int, what string) int {
		matches := 0
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		for _, e := range entries {
			if target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name())); err == nil {
				if match, _ := filepath.Match(what, target); match {
					matches++
				}
			}
		}
		return matches
	}
	relay, _ := child(n.Relay.PID())
	return OpenFiles{
		AgentNamespaces: count(n.Agent.PID(), "net:*"),
		RelayNamespaces: count(relay, "net:*"), Taps: count(relay, "/dev/net/tun"),
		Folders: count(relay, n.Config.MemifDir()+"/*"),
	}
}

// volatile takes out what differs between two looks at the same thing: numbers
// of links and namespaces, and the operational state, which depends for taps on
// their history, and comes to others later.
func volatile(text string) string {
	return regexp.MustCompile(`(?m)^\d+: |link-netnsid \d+|@if\d+| state [A-Z]+|NO-CARRIER,`).ReplaceAllString(text, "")
}

// MustLook is Look that must succeed, and see the same twice in succession: the
// agent's own repairs open namespaces for a moment.
func (n *Node) MustLook() Leftovers {
	n.TB.Helper()
	var seen Leftovers
	Eventually(n.TB, Patience(2*time.Second), func() error {
		now, err := n.Look()
		if err == nil && now != seen {
			seen, err = now, errors.New("things change")
		}
		return err
	})
	return seen
}

// ExpectClean waits until the node is as it was at an earlier look; 2 s is what
// a DEL promises.
func (n *Node) ExpectClean(baseline Leftovers) {
	n.TB.Helper()
	var diff string
	err := Poll(Patience(2*time.Second), func() error {
		now, err := n.Look()
		if err != nil {
			return err
		}
		if diff = cmp.Diff(strings.Split(string(baseline), "\n"), strings.Split(string(now), "\n")); diff != "" {
			return errors.New("not clean")
		}
		return nil
	})
	if err != nil {
		n.TB.Fatalf("%v (-baseline +now):\n%s", err, diff)
	}
}
