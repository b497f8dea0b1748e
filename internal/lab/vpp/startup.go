// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"fmt"
	"os"
	"strings"
)

// plugins are those that polynic has VPP load, and ping, by which people see that
// it forwards. Without them it loads every plugin that is installed, DPDK among
// them. One that is not installed is missed by who needs it.
func plugins() []string {
	return []string{"memif", "af_packet", "tap", "urpf", "cnat", "acl", "ping"}
}

// The sizes: all in usual pages, so that a machine needs no huge ones.
const (
	heap     = "256M"
	stats    = "32M"
	buffers  = 16384 // of 2 KiB: 40 MiB with their headers
	apiSize  = "16M"
	pageSize = "4k"
)

// Startup is the configuration of a VPP for one node: no huge pages, no DPDK, no
// thread but the main one, which waits for interrupts while nobody has it poll.
func (n Node) Startup() string {
	sockets := n.Sockets()
	var b strings.Builder
	section := func(name string, settings ...string) {
		fmt.Fprintf(&b, "%s {\n", name)
		for _, s := range settings {
			fmt.Fprintf(&b, "  %s\n", s)
		}
		b.WriteString("}\n")
	}
	section("unix", "nodaemon", "nosyslog", "nocolor", "nobanner", "cli-no-pager", "runtime-dir "+string(n), "cli-listen "+sockets.CLI)
	section("memory", "main-heap-size "+heap, "main-heap-page-size "+pageSize, "default-hugepage-size "+pageSize)
	section("buffers", "page-size "+pageSize, fmt.Sprintf("buffers-per-numa %d", buffers))
	section("statseg", "socket-name "+sockets.Stats, "size "+stats, "page-size "+pageSize)
	section("socksvr", "socket-name "+sockets.API)
	section("api-segment", "prefix "+n.segment(), "global-size "+apiSize, "api-size 4M")
	section("logging", "default-log-level notice", "default-syslog-log-level disabled")
	enabled := []string{"plugin default { disable }"}
	for _, p := range plugins() {
		enabled = append(enabled, "plugin "+p+"_plugin.so { enable }")
	}
	section("plugins", enabled...)
	return b.String()
}

// Write makes the folder with the configuration.
func (n Node) Write() error {
	if err := os.MkdirAll(string(n), 0o700); err != nil {
		return fmt.Errorf("VPP's folder: %w", err)
	}
	if err := os.WriteFile(n.StartupConf(), []byte(n.Startup()), 0o600); err != nil {
		return fmt.Errorf("VPP's configuration: %w", err)
	}
	return nil
}
