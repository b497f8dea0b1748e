// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fsnotify/fsnotify"

	"github.com/polynic/polynic/internal/journal"
)

// childEnv, set to a journal's path, makes this program the process that
// TestKilledProcess kills; startEnv is the number it begins with.
const (
	childEnv = "JOURNAL_TEST_PATH"
	startEnv = "JOURNAL_TEST_START"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		fmt.Fprintln(os.Stderr, putForEver(path))
		return
	}
	m.Run()
}

// window is how many attachments live at a time in the killed process.
const window = 20

// putForEver puts one attachment after the other, deletes the one that was put
// window before, and writes the number to stdout once both are recorded.
func putForEver(path string) error {
	start, err := strconv.Atoi(os.Getenv(startEnv))
	if err != nil {
		return err
	}
	j, _, err := journal.Open(path, options())
	if err != nil {
		return err
	}
	for n := start; ; n++ {
		a := attachment(n)
		a.Pod.UID = strings.Repeat("u", 2000) // the file grows and is rewritten sooner
		if err := j.Put(a); err != nil {
			return err
		}
		if n >= window {
			if err := j.Delete(attachment(n - window).ID); err != nil {
				return err
			}
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// A process that is killed at any point, the rewriting of the file included,
// loses nothing it was told is written.
func TestKilledProcess(t *testing.T) {
	// On a disk, where rewriting takes long enough to be hit.
	path := filepath.Join(t.TempDir(), "journal")
	next, hits := 0, 0
	for round := range 50 {
		var last int
		switch p := start(t, path, next); round % 3 {
		case 0:
			last = p.killAfter(rand.IntN(1000))
		case 1:
			last = p.killInRewrite(1) // that of Open
		case 2:
			last = p.killInRewrite(2)
		}
		if _, err := os.Stat(path + ".new"); err == nil {
			hits++
		}
		found, report := reopen(t, path)
		intact(t, report)
		var got []int
		for _, a := range found {
			got = append(got, int(a.Netns.Inode))
		}
		// Of the pair of records after the last acknowledged one none, the
		// first, or both may have been written.
		from, to := max(0, last-window+1), last+1
		wants := [][]int{numbers(from, to), numbers(from, to+1), numbers(max(0, to-window+1), to+1)}
		if !slices.ContainsFunc(wants, func(want []int) bool { return slices.Equal(got, want) }) {
			t.Fatalf("round %d, killed after %d: found %v, want %v", round, last, got, wants[0])
		}
		next = last + 1
	}
	t.Logf("%d attachments; %d of 50 kills left a rewriting of the file half done", next, hits)
	if hits == 0 {
		t.Error("no kill hit the rewriting of the file")
	}
}

// process is one that puts for ever.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	numbers *bufio.Scanner
	start   int
	folder  *fsnotify.Watcher
}

func start(t *testing.T, path string, from int) *process {
	t.Helper()
	folder, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	if err = folder.Add(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path, startEnv+"="+strconv.Itoa(from))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{t: t, cmd: cmd, numbers: bufio.NewScanner(out), start: from, folder: folder}
}

// killAfter kills the process once it acknowledged so many numbers, while it
// goes on, and gives the last one it acknowledged.
func (p *process) killAfter(acks int) int {
	for range acks {
		p.numbers.Scan()
	}
	p.kill()
	return p.last(p.start + acks - 1)
}

// killInRewrite kills the process when it begins to write its file anew for the
// nth time, the first being that of Open.
func (p *process) killInRewrite(nth int) int {
	var wg sync.WaitGroup
	wg.Go(func() {
		for e := range p.folder.Events {
			if e.Has(fsnotify.Create) && filepath.Ext(e.Name) == ".new" {
				nth--
			}
			if nth == 0 {
				p.kill()
				return
			}
		}
	})
	last := p.last(p.start - 1)
	wg.Wait()
	return last
}

func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
}

// last reads on until the process is dead, and gives the last number, or else
// the one given.
func (p *process) last(n int) int {
	p.t.Helper()
	for p.numbers.Scan() {
		next, err := strconv.Atoi(p.numbers.Text())
		if err != nil || next != n+1 {
			p.t.Errorf("the process wrote %q after %d", p.numbers.Text(), n)
		}
		n = next
	}
	if err := p.folder.Close(); err != nil {
		p.t.Error(err)
	}
	if err := p.cmd.Wait(); p.cmd.ProcessState.Exited() {
		p.t.Fatalf("the process ended by itself: %v", err)
	}
	return n
}

func numbers(from, to int) []int {
	var all []int
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}
