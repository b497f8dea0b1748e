// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Failpoints lists the places that agent and relay passed so far.
func (n *Node) Failpoints() []string {
	n.TB.Helper()
	entries, err := os.ReadDir(n.failpoints())
	if err != nil {
		n.TB.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == "" {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// ForgetFailpoints starts a new list.
func (n *Node) ForgetFailpoints() {
	n.TB.Helper()
	for _, name := range n.Failpoints() {
		if err := os.Remove(filepath.Join(n.failpoints(), name)); err != nil {
			n.TB.Fatal(err)
		}
	}
}

// KillAt has the process that passes the place for the nth time from now kill
// itself there.
func (n *Node) KillAt(place string, nth int) {
	n.TB.Helper()
	n.order(place+".kill", nth)
}

// StopAt has the process that passes the place next stop there, as a whole,
// until it is thawed.
func (n *Node) StopAt(place string) {
	n.TB.Helper()
	n.order(place+".stop", 1)
}

func (n *Node) order(name string, nth int) {
	n.TB.Helper()
	// Renamed, so that nobody reads half of it.
	path := filepath.Join(n.failpoints(), name)
	err := os.WriteFile(path+".new", fmt.Appendf(nil, "%d", nth), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		n.TB.Fatal(err)
	}
}

// Disarm takes back a KillAt that was not reached, and reports whether it was
// not.
func (n *Node) Disarm(place string) bool {
	return os.Remove(filepath.Join(n.failpoints(), place+".kill")) == nil
}

// ReviveAgent starts a new agent where the old one ended or ends within the
// limit, and waits for it; it reports whether it had to.
func (n *Node) ReviveAgent(limit time.Duration) bool {
	n.TB.Helper()
	select {
	case <-n.Agent.Ended():
	case <-time.After(limit):
		return false
	}
	n.StartAgent()
	n.WaitReady()
	return true
}
