// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/ipam"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
)

// undoLimit bounds taking back what a failed ADD made. Beyond it the reconciler
// goes on by itself.
const undoLimit = 5 * time.Second

// Add attaches a sandbox: its pod's interfaces are decided, their addresses
// taken and written down, and everything is wired when Add returns. An ADD that
// is repeated for a sandbox that is attached answers the same again. One that
// fails leaves nothing behind of what it made, and takes nothing else away.
func (a *Attacher) Add(ctx context.Context, r Request) (Result, error) {
	ended, err := a.turns.add(ctx, r.ID)
	if err != nil {
		return Result{}, err
	}
	defer ended()
	done, err := a.turns.container(ctx, r.ID.ContainerID)
	if err != nil {
		return Result{}, err
	}
	defer done()
	ns, err := sandbox(r.NetnsPath)
	if err != nil {
		return Result{}, err
	}
	att, isKnown, err := a.known(r.ID, ns)
	if err == nil && !isKnown {
		att, err = a.attachment(ctx, r, ns)
	}
	if err != nil {
		return Result{}, err
	}
	failpoint.Hit("add-journaled")
	err = a.wire(ctx, att)
	if err == nil {
		failpoint.Hit("add-wired")
		err = a.publish(ctx, att)
	}
	if err != nil {
		if !isKnown {
			a.undo(ctx, att)
		}
		return Result{}, a.refusal(att, err)
	}
	return a.result(att)
}

// sandbox identifies the namespace that the runtime names.
func sandbox(path string) (model.Netns, error) {
	if path == "" {
		return model.Netns{}, refusef(cniwire.CodeInvalidEnvironment, "CNI_NETNS is empty: ADD needs the sandbox's network namespace")
	}
	h, err := netns.Open(path)
	switch {
	case errors.Is(err, netns.ErrGone):
		return model.Netns{}, refusef(cniwire.CodeUnknownContainer, "sandbox: %w", err)
	case errors.Is(err, netns.ErrNotNetns):
		return model.Netns{}, refusef(cniwire.CodeInvalidEnvironment,
			"sandbox: CNI_NETNS: %w (where the agent is in a container, the runtime's folder of namespaces must be mounted there, and shared)", err)
	case err != nil:
		return model.Netns{}, fmt.Errorf("sandbox: %w", err)
	}
	ns := model.Netns{Path: path, Inode: h.Inode()}
	if err := h.Close(); err != nil {
		return ns, err
	}
	own, err := netns.Own()
	if err != nil {
		return ns, err
	}
	if own.Inode() == ns.Inode {
		err = refusef(cniwire.CodeInvalidEnvironment, "sandbox: CNI_NETNS %s is the node's own network namespace", path)
	}
	return ns, errors.Join(err, own.Close())
}

// known finds the record of a sandbox that is attached already.
func (a *Attacher) known(id model.AttachmentID, ns model.Netns) (model.Attachment, bool, error) {
	known, ok := a.config.Inventory.Attachment(id)
	switch {
	case ok && known.Leaving:
		return known, true, refusef(cniwire.CodeTryAgainLater, "sandbox %s is still being removed", id)
	case ok && known.Netns != ns:
		return known, true, refusef(cniwire.CodeInvalidEnvironment,
			"sandbox %s is attached already, in network namespace %s", id, known.Netns.Path)
	}
	return known, ok, nil
}

// attachment makes and journals the record of a sandbox.
func (a *Attacher) attachment(ctx context.Context, r Request, ns model.Netns) (model.Attachment, error) {
	if r.Pod.UID != "" && a.recent.has(r.ID.ContainerID) {
		return model.Attachment{}, refusef(cniwire.CodeRefused, "sandbox %s was deleted already", r.ID)
	}
	att := model.Attachment{ID: r.ID, Network: r.Network, Pod: r.Pod, Netns: ns, MTU: a.config.MTU}
	var err error
	if att.Interfaces, att.MicroserviceLabel, err = a.wanted(ctx, r); err != nil {
		return model.Attachment{}, err
	}
	return a.record(att)
}

// record takes the addresses and writes the attachment down, before anything
// uses them.
func (a *Attacher) record(att model.Attachment) (model.Attachment, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.socketsFree(att); err != nil {
		return att, err
	}
	for n := range att.Interfaces {
		i := &att.Interfaces[n]
		if i.Network != model.DefaultNetwork {
			continue
		}
		addresses, err := a.config.Addresses.Allocate()
		if err != nil {
			a.config.Addresses.Release(att.Addresses()...)
			return att, refusef(addressCode(err), "%s in pod %s: %w", i.Name, att.Pod, err)
		}
		i.Addresses = addresses
	}
	failpoint.Hit("add-addresses")
	if err := a.config.Journal.Put(att); err != nil {
		a.config.Addresses.Release(att.Addresses()...)
		return att, fmt.Errorf("pod %s: cannot write down its addresses: %w", att.Pod, err)
	}
	a.config.Inventory.PutAttachment(att)
	return att, nil
}

func addressCode(err error) cniwire.Code {
	if errors.Is(err, ipam.ErrFull) {
		return cniwire.CodeTryAgainLater
	}
	return cniwire.CodeInternal
}

// wire has the attachment's objects made and waits for them alone.
func (a *Attacher) wire(ctx context.Context, att model.Attachment) error {
	objects, err := a.config.Node.Attachment(att)
	if err != nil {
		return err
	}
	if _, err := a.tellApplications(objects); err != nil {
		return err
	}
	if err := a.config.Reconciler.Apply(ctx, att.ID, objects); err != nil {
		return err
	}
	return stillThere(att.Netns)
}

// stillThere reports whether the sandbox's namespace went while it was wired:
// whoever had it open was able to finish.
func stillThere(ns model.Netns) error {
	h, err := netns.OpenExact(ns)
	if errors.Is(err, netns.ErrGone) {
		return fmt.Errorf("%w: %w", dataplane.ErrNetnsGone, err)
	}
	if err != nil {
		return err
	}
	return h.Close()
}

// undo takes a failed ADD back: what was made goes the way of a DEL.
func (a *Attacher) undo(ctx context.Context, att model.Attachment) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	a.remove(ctx, att)
}

// refusal gives an error its CNI code.
func (a *Attacher) refusal(att model.Attachment, err error) error {
	code := cniwire.CodeInternal
	_, refused := errors.AsType[model.Refusal](err)
	switch {
	case errors.Is(err, dataplane.ErrNetnsGone):
		code = cniwire.CodeUnknownContainer
	case refused, errors.Is(err, dataplane.ErrTaken):
		code = cniwire.CodeRefused
	case errors.Is(err, dataplane.ErrAway), errors.Is(err, errNotPublished), errors.Is(err, context.DeadlineExceeded):
		code = cniwire.CodeTryAgainLater
	}
	return refusef(code, "pod %s: %w", att.Pod, err)
}
