// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/desired"
)

// Check compares the sandbox with what it should be, in the dataplane and with
// what the runtime remembers of ADD's answer: previous may hold interfaces of
// other plugins, and none at all where the runtime remembers nothing. It
// repairs nothing.
func (a *Attacher) Check(ctx context.Context, r Request, previous Result) error {
	done, err := a.turns.container(ctx, r.ID.ContainerID)
	if err != nil {
		return err
	}
	defer done()
	att, ok := a.config.Inventory.Attachment(r.ID)
	if !ok || att.Leaving {
		return refusef(cniwire.CodeUnknownContainer, "sandbox %s is not attached", r.ID)
	}
	if r.NetnsPath != "" && r.NetnsPath != att.Netns.Path {
		return refusef(cniwire.CodeMismatch, "sandbox %s is attached in %s, not in %s", r.ID, att.Netns.Path, r.NetnsPath)
	}
	changes, err := a.config.Reconciler.Check(ctx, r.ID)
	if err != nil {
		return a.refusal(att, err)
	}
	if len(changes) > 0 {
		return refusef(cniwire.CodeMismatch, "pod %s is not as it should be: %s", att.Pod, desired.Summary(changes))
	}
	result, err := a.result(att)
	if err != nil {
		return err
	}
	if err := agree(result, previous); err != nil {
		return refusef(cniwire.CodeMismatch, "pod %s: %w", att.Pod, err)
	}
	return nil
}

// agree reports how the interfaces differ from what the runtime remembers.
func agree(now, previous Result) error {
	if len(previous.Interfaces) == 0 {
		return nil
	}
	for _, i := range now.Interfaces {
		n := slices.IndexFunc(previous.Interfaces, func(p ResultInterface) bool { return p.Name == i.Name })
		if n < 0 {
			return fmt.Errorf("the previous result lacks %s", i.Name)
		}
		was := previous.Interfaces[n]
		if !was.MAC.IsZero() && was.MAC != i.MAC {
			return fmt.Errorf("%s has MAC %s, the previous result says %s", i.Name, i.MAC, was.MAC)
		}
		if !slices.Equal(was.Addresses, i.Addresses) {
			return fmt.Errorf("%s has addresses %s, the previous result says %s", i.Name, i.Addresses, was.Addresses)
		}
	}
	return nil
}

// Status says why an ADD could not succeed now. The dataplane may be away for a
// while before that is said, because a runtime that hears it takes the node's
// network for broken.
func (a *Attacher) Status(context.Context) error {
	since, reason := a.config.Reconciler.Away()
	if reason != nil && time.Since(since) >= a.config.AwayLimit {
		return refusef(cniwire.CodeLimited, "the dataplane has been away since %s: %w", since.Format(timeLayout), reason)
	}
	return nil
}

// timeLayout is how times are told to people.
const timeLayout = "15:04:05"
