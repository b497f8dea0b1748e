// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import "time"

// size is how much is measured. A burst has as many samples as pods, and takes
// seconds, so there are few of them.
type size struct {
	pairs    int // of single operations
	bursts   int // pairs of bursts
	pods     int // in a burst
	existing int // pods that are there already, where that is the question
	restarts int
	flows    int           // pairs of iperf3 runs
	memifs   int           // pairs of runs over memifs
	flow     time.Duration // one run of either
}

func sizes() map[string]size {
	return map[string]size{
		"trial": {pairs: 1, bursts: 1, pods: 4, existing: 4, restarts: 1, flows: 1, memifs: 1, flow: time.Second},
		"quick": {pairs: 20, bursts: 1, pods: 50, existing: 200, restarts: 2, flows: 2, memifs: 2, flow: time.Second},
		"full":  {pairs: 50, bursts: 3, pods: 100, existing: 200, restarts: 20, flows: 24, memifs: 12, flow: time.Second},
	}
}
