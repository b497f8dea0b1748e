// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vppapi

import (
	"context"
	"fmt"
	"path"
	"reflect"
	"strings"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/memclnt"
	"go.fd.io/govpp/binapi/vpe"
)

// UnusableError is about a VPP that runs and cannot be used: it lacks a message, or
// has it in another form.
type UnusableError struct {
	// Version is VPP's own word for it; empty where it cannot even be asked.
	Version string
	// Message is the first that is missing.
	Message string
	// Reason says what is wrong, and what to do.
	Reason string
}

// Error implements error.
func (e *UnusableError) Error() string {
	version := e.Version
	if version == "" {
		version = "of an unknown version"
	}
	return fmt.Sprintf("VPP %s cannot be used: message %s %s", version, e.Message, e.Reason)
}

// id is VPP's number of a message, in exactly the form that we know.
func (c *Conn) id(m api.Message) (uint16, error) {
	id, ok := c.ids[m.GetMessageName()+"_"+m.GetCrcString()]
	if !ok {
		return 0, c.lacks(m)
	}
	return id, nil
}

// Has reports whether VPP has the message in the form that we know.
func (c *Conn) Has(m api.Message) bool {
	_, err := c.id(m)
	return err == nil
}

// Lacks says how VPP lacks a message; nil where it has it.
func (c *Conn) Lacks(m api.Message) error {
	_, err := c.id(m)
	return err
}

// lacks says how VPP lacks a message.
func (c *Conn) lacks(m api.Message) error {
	e := &UnusableError{Version: c.Version, Message: m.GetMessageName()}
	for name := range c.ids {
		if crc, ok := strings.CutPrefix(name, m.GetMessageName()+"_"); ok && len(crc) == len(m.GetCrcString()) {
			e.Reason = fmt.Sprintf("has another form there (%s, not %s): use VPP 25.10 or 26.06, or a newer polynic", crc, m.GetCrcString())
			return e
		}
	}
	e.Reason = "is not there"
	if plugin := pluginOf(m); plugin != "" {
		e.Reason += fmt.Sprintf(": is plugin %s_plugin.so loaded? (show plugins; \"plugins\" in VPP's startup.conf)", plugin)
	}
	return e
}

// pluginOf is the plugin that a message is of; empty for VPP's own.
func pluginOf(m api.Message) string {
	name := path.Base(reflect.TypeOf(m).Elem().PkgPath())
	switch name {
	case "af_packet", "memif", "urpf", "cnat", "gso":
		return name
	case "tapv2":
		return "tap"
	default:
		return ""
	}
}

// check asks for the version, and has every message in use looked up.
func (c *Conn) check(ctx context.Context, needed []api.Message) error {
	var reply vpe.ShowVersionReply
	var b Batch
	b.Call(&vpe.ShowVersion{}, &reply)
	if err := c.Do(ctx, &b); err != nil {
		return err
	}
	c.Version = cString(reply.Version)
	for _, m := range append([]api.Message{&memclnt.ControlPing{}, &memclnt.ControlPingReply{}}, needed...) {
		if _, err := c.id(m); err != nil {
			return err
		}
	}
	return nil
}

// subscribe has events of the kind handed on.
func (c *Conn) subscribe(event api.Message) error {
	id, err := c.id(event)
	if err != nil {
		return err
	}
	kind := reflect.TypeOf(event).Elem()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events[id] = func() api.Message {
		message, _ := reflect.New(kind).Interface().(api.Message) // it is one, as event is
		return message
	}
	return nil
}
