// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/publish/ligato"
)

// Publisher keeps what pods' own agents are told where these look for it.
type Publisher interface {
	// Publish waits until it is there, or cannot be. Where waiting does not help,
	// the error wraps a model.Refusal. It is tried again until it is withdrawn.
	Publish(ctx context.Context, p Publication) error
	// Set is Publish without waiting, for what was published before.
	Set(p Publication)
	// Keep is Set for a sandbox of which it is not known what was published, and why:
	// that stays as it is until it is withdrawn.
	Keep(id model.AttachmentID, why error)
	// Withdraw gives up what was published for a sandbox, and does not wait.
	Withdraw(id model.AttachmentID)
	// Restored says that everything of before was Set or Kept: what else is there of
	// this node belongs to nobody.
	Restored()
}

// Publication is what the agent in a sandbox's pod is told.
type Publication struct {
	ID     model.AttachmentID
	Pod    model.PodRef
	Config ligato.Pod
}

// errNoSecret is that the journal lost what is needed to say it again.
var errNoSecret = errors.New("the secret of its memif is not known")

// Told is what the agent in an attachment's pod is told: the custom interfaces,
// as they are seen from within. The node is where they are planned.
func Told(node plan.Node, att model.Attachment) (ligato.Pod, error) {
	att.Leaving = false
	objects, err := node.Attachment(att)
	if err != nil {
		return ligato.Pod{}, err
	}
	told := ligato.Pod{Label: att.MicroserviceLabel}
	at := 0
	for _, o := range objects {
		port, ok := desired.PortOf(o)
		if !ok {
			continue
		}
		i := att.Interfaces[at]
		at++
		if i.Name == att.ID.IfName { // the pod's main one is not the agent's business
			continue
		}
		one := ligato.Interface{
			Name: i.Name, Type: i.Type, Network: i.Network, Addresses: port.Pod.Addresses,
			Gateways: gatewaysOf(o, port), GatewayMAC: port.SwitchMAC,
		}
		if len(one.Gateways) > 0 {
			one.Subnets = node.Default.Inside
		}
		if i.Memif != nil {
			one.MemifID, one.MemifSocket, one.Secret = i.Memif.ID, memifdir.SocketPath, i.Memif.Secret
		}
		told.Interfaces = append(told.Interfaces, one)
	}
	return told, nil
}

func gatewaysOf(o desired.Object, port desired.Port) []netip.Addr {
	if m, ok := o.(desired.Memif); ok {
		return m.Gateways
	}
	var gateways []netip.Addr
	for _, n := range port.Pod.Neighbors {
		gateways = append(gateways, n.IP)
	}
	return gateways
}

// LabelOf is the label for which a pod's custom interfaces are published; empty
// where there are none.
func LabelOf(pod model.Pod) string {
	if len(pod.Request) == 0 {
		return ""
	}
	return pod.MicroserviceLabel
}

// publication is what is published for an attachment; false where nothing is.
func (a *Attacher) publication(att model.Attachment) (Publication, bool, error) {
	if att.MicroserviceLabel == "" {
		return Publication{}, false, nil
	}
	told, err := Told(a.config.Node, att)
	for _, i := range told.Interfaces {
		if i.Type == podif.Memif && i.Secret.Reveal() == "" {
			err = errors.Join(err, fmt.Errorf("interface %s: %w", i.Name, errNoSecret))
		}
	}
	return Publication{ID: att.ID, Pod: att.Pod, Config: told}, true, err
}

// publish tells the pod's agent of an attachment that is wired, and waits until
// it could hear it.
func (a *Attacher) publish(ctx context.Context, att model.Attachment) error {
	p, isWanted, err := a.publication(att)
	if err != nil || !isWanted {
		return err
	}
	if a.config.Publisher == nil { // it was attached while there was one
		return errNoEtcd
	}
	err = a.config.Publisher.Publish(ctx, p)
	if _, isRefused := errors.AsType[model.Refusal](err); err != nil && !isRefused {
		err = fmt.Errorf("%w: %w", errNotPublished, err)
	}
	failpoint.Hit("add-published")
	return err
}

// republish has what was published for the attachments of the journal published
// on; what they no longer want goes. The caller holds a.mu.
func (a *Attacher) republish(attachments []model.Attachment) {
	if a.config.Publisher == nil {
		return
	}
	for _, att := range attachments {
		p, isWanted, err := a.publication(att)
		switch {
		case att.NameOnly && !att.Leaving:
			a.config.Publisher.Keep(att.ID, ErrNameOnly)
		case err != nil && att.Leaving: // by what is there of it, it is found
		case err != nil:
			a.config.Log.Warn("what is published for a pod stays as it is",
				slog.String("sandbox", att.ID.String()), slog.String("pod", att.Pod.String()), slog.Any("error", err))
			a.config.Publisher.Keep(att.ID, err)
		case isWanted:
			a.config.Publisher.Set(p)
			if att.Leaving {
				a.config.Publisher.Withdraw(att.ID)
			}
		}
	}
	a.config.Publisher.Restored()
}

// withdraw gives up what is published for an attachment on its way out.
func (a *Attacher) withdraw(att model.Attachment) {
	if a.config.Publisher != nil {
		a.config.Publisher.Withdraw(att.ID)
	}
}
