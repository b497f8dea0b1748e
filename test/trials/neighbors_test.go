// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/test/harness"
)

// TestOtherPodsMemif: a pod that knows everything of another's memif, and reaches
// its files, is refused at it, whichever way it comes and however often, and told of
// once. It is root and sees all of the node here, which no container does.
func TestOtherPodsMemif(t *testing.T) {
	n := harness.Start(t, harness.WithMemifs)
	victim, own := memifPod(n, "memif1/memif, memif2/memif/stub")
	robber, his := memifPod(n, "memif1/memif")
	folder, err := os.Open(victim.Folder())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	with := func(p harness.MemifPeer, socket, secret string, id uint32) harness.MemifPeer {
		p.Socket, p.Secret, p.ID, p.Tries = socket, secret, id, attempts
		return p
	}
	app := victim.Connect(with(own, own.Socket, own.Secret, 1)) // whose root directory is the node's
	root := fmt.Sprintf("/proc/%d/root", app.PID())
	inherited := with(his, "/proc/self/fd/3/"+memifdir.SocketName, own.Secret, own.ID)
	inherited.File = folder
	const elsewhere = "it is in another network namespace than the pod's"
	for _, attempt := range []struct {
		name string
		peer harness.MemifPeer
		at   *harness.Pod
		want string
	}{
		{"by its path", with(his, own.Socket, own.Secret, own.ID), victim, elsewhere},
		{"by its path, with the own secret", with(his, own.Socket, his.Secret, own.ID), victim, elsewhere},
		{"by the files of a process", with(his, root+own.Socket, own.Secret, own.ID), victim, elsewhere},
		{"by an inherited descriptor", inherited, victim, elsewhere},
		{"at the own socket, with the other's id", with(his, his.Socket, his.Secret, 1), robber, "no interface of this id"},
		{"at the own socket, with the other's secret", with(his, his.Socket, own.Secret, his.ID), robber, "wrong secret"},
	} {
		a := robber.Connect(attempt.peer)
		if a.Answer == "connected" {
			t.Errorf("%s: connected", attempt.name)
		}
		expectTold(t, n, attempt.at, a.PID(), attempt.want)
	}
	if answer := victim.Connect(own).Answer; answer != "connected" {
		t.Errorf("the pod itself: %s", answer)
	}
	harness.Eventually(t, harness.Patience(5*time.Second), func() error { // after so many wrong secrets
		if answer := robber.Connect(his).Answer; answer != "connected" {
			return fmt.Errorf("the other at its own: %s", answer)
		}
		return nil
	})
}

// expectTold waits until the agent's log tells of a process, and fails where it
// does so more than once, or of another pod. Where it guessed too often, that is told
// too.
func expectTold(t *testing.T, n *harness.Node, at *harness.Pod, pid int, want string) {
	t.Helper()
	told := func() (lines []string) {
		log, err := os.ReadFile(filepath.Join(n.Dir, "agent.log"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			isGuessing := strings.Contains(line, "too many wrong secrets")
			if !isGuessing && strings.Contains(line, "refused at a memif") && strings.Contains(line, fmt.Sprintf("process %d ", pid)) {
				lines = append(lines, line)
			}
		}
		return lines
	}
	harness.Eventually(t, harness.Patience(waitForPod), func() error {
		if len(told()) == 0 {
			return fmt.Errorf("process %d is not told of", pid)
		}
		return nil
	})
	if lines := told(); len(lines) != 1 || !strings.Contains(lines[0], want) || !strings.Contains(lines[0], at.ContainerID) {
		t.Errorf("told of process %d: %q, want %q of %s once", pid, lines, want, at.Name)
	}
}

// memifOf is the pod's first memif, as the agent tells of it.
func memifOf(t *testing.T, n *harness.Node, pod *harness.Pod) inspect.Interface {
	t.Helper()
	for _, i := range n.Interfaces() {
		if i.Pod == pod.Name && i.Memif != nil {
			return i
		}
	}
	t.Fatalf("%s has no memif", pod.Name)
	return inspect.Interface{}
}
