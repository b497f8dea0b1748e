// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memifdir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/memifdir"
)

// A container that exchanges whatever it sees in its folder for links, while the
// folder is written and removed, reaches nothing outside, and holds nobody up.
func TestLinksSwappedIn(t *testing.T) {
	d := made(t)
	outside := t.TempDir()
	canary := filepath.Join(outside, memifdir.InterfacesName)
	if err := os.WriteFile(canary, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	var attackers sync.WaitGroup
	stop := make(chan struct{})
	root, err := os.OpenRoot(d.Path(id))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for n := range 2 {
		attackers.Go(func() { attack(root, outside, n, stop) })
	}
	written := 0
	for range 500 {
		if _, err := d.WriteInterfaces(id, []byte("told")); err == nil {
			written++
		}
	}
	// It may never come to an end while the container goes on, but with ctx.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := d.Remove(ctx, id); err != nil {
		t.Log(err)
	}
	close(stop)
	attackers.Wait()
	if err := d.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	if err := d.Check(id); !errors.Is(err, memifdir.ErrMissing) {
		t.Errorf("afterwards: %v, want ErrMissing", err)
	}
	entries, err := os.ReadDir(outside)
	text, readErr := os.ReadFile(canary)
	if err != nil || readErr != nil || len(entries) != 1 || string(text) != "canary" {
		t.Errorf("outside there is %v with %q (%v, %v), want it as it was", entries, text, err, readErr)
	}
	if written == 0 {
		t.Error("the file was never written")
	}
}

// attack puts links and folders in the place of everything in the folder. What
// fails was lost to us, or to another attacker. As in a container, the folder is
// all that the attacker reaches.
func attack(root *os.Root, outside string, n int, stop <-chan struct{}) {
	own := fmt.Sprint("own-", n)
	for round := 0; ; round++ {
		select {
		case <-stop:
			return
		default:
		}
		entries, _ := fs.ReadDir(root.FS(), ".")
		for _, e := range entries {
			target := []string{outside, filepath.Join(outside, memifdir.InterfacesName), "/proc/self/root"}[round%3]
			if root.Symlink(target, own) == nil {
				_ = root.Rename(own, e.Name())
			}
		}
		deep := fmt.Sprint("deep-", n, "-", round%10)
		_ = root.MkdirAll(deep+"/a/b", 0o755)
		_ = root.Rename(deep+"/a", "a")
	}
}
