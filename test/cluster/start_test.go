// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/figure"
)

// benchPod is a manifest of a pod that needs nothing but its network.
const benchPod = `
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: bench}, annotations: {%s}}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: shell, imagePullPolicy: IfNotPresent}]
---
`

// alone measures pods that start one at a time.
func (b *bench) alone(c *contender) {
	b.t.Helper()
	b.use(c)
	for range b.singles {
		add(&c.alone, b.run(c, 1))
		b.expectNetworks(c, 1)
		b.remove()
	}
	add(&c.addAlone, b.adds(c))
}

// burst measures pods that start at once, and leaves them there: the time in CNI
// ADD, and their way from created to Ready.
func (b *bench) burst(c *contender, count int) (adds, starts []time.Duration) {
	b.t.Helper()
	begin, before := time.Now(), figure.Load()
	starts = b.run(c, count)
	took := time.Since(begin).Round(10 * time.Millisecond)
	b.expectNetworks(c, count)
	adds = b.adds(c)
	if len(adds) != count {
		b.t.Errorf("%s: %d ADDs for %d pods", c.name, len(adds), count)
	}
	b.Note("%s: %d pods are ready after %s; load before %s, after %s", c.name, count, took, before, figure.Load())
	return adds, starts
}

// run creates pods and gives how long each took to be ready.
func (b *bench) run(c *contender, count int) []time.Duration {
	b.t.Helper()
	var manifests strings.Builder
	names := make([]string, count)
	for i := range names {
		b.made++
		names[i] = fmt.Sprintf("bench-%d", b.made)
		fmt.Fprintf(&manifests, benchPod, names[i], c.annotation)
	}
	create := b.Command("create", "-f", "-")
	create.Stdin = strings.NewReader(manifests.String())
	if out, err := create.CombinedOutput(); err != nil {
		b.t.Fatalf("create pods: %v: %s", err, out)
	}
	var took []time.Duration
	controlplane.Eventually(b.t, 5*time.Minute, func() (err error) {
		took, err = b.pods.took(names)
		return err
	})
	return took
}

// remove deletes all pods and waits until they are gone.
func (b *bench) remove() {
	b.t.Helper()
	b.Kubectl("delete", "pods", "-l", "app=bench", "--timeout=4m")
}

// expectNetworks looks into each pod: it has its interfaces, and answers at the
// last one.
func (b *bench) expectNetworks(c *contender, count int) {
	b.t.Helper()
	all, err := filepath.Glob("/run/netns/cni-*")
	if err != nil || len(all) != count {
		b.t.Errorf("%s: %d network namespaces for %d pods: %v", c.name, len(all), count, err)
	}
	for _, path := range all {
		out, err := exec.Command("ip", "-n", filepath.Base(path), "-o", "-4", "addr", "show", "up", "scope", "global").Output()
		lines := slices.Collect(strings.Lines(string(out)))
		if err != nil || len(lines) != c.interfaces {
			b.t.Errorf("%s: want %d interfaces, have: %v\n%s", c.name, c.interfaces, err, out)
			continue
		}
		fields := strings.Fields(lines[len(lines)-1]) // N: NAME inet ADDRESS/BITS
		address, _, _ := strings.Cut(fields[3], "/")
		if out, err := exec.Command("ping", "-c", "1", "-W", "3", address).CombinedOutput(); err != nil {
			b.t.Errorf("%s: %s at %s: %v\n%s", c.name, fields[1], address, err, out)
		}
	}
}

func add(to *figure.Arm, durations []time.Duration) {
	for _, d := range durations {
		to.Took(d)
	}
}
