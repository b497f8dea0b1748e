// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/etcdconf"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
)

// reopenInterval is how often it is tried to make a client of what is configured.
const reopenInterval = 5 * time.Second

// published is what pods' own agents are told in etcd. It implements
// attach.Publisher from the start, and hands on what it is told as soon as a
// client could be made: files may be missing at first, and an etcd that wants a
// name to be logged in with may be away.
type published struct {
	config   publish.Config
	settings etcdconf.Settings
	form     ligato.Form
	reopen   time.Duration // after which another attempt is made
	tried    chan struct{} // closed after the first attempt

	mu sync.Mutex
	// reason is why there is no loop; nil before the first attempt.
	reason error
	loop   *publish.Publisher
	// claims are those of sandboxes, and those that were withdrawn and of which
	// there may be something still.
	claims map[model.AttachmentID]claimed
	said   uint64 // how many claims there were
	// kept are sandboxes whose claims of before are not known, and why.
	kept     map[model.AttachmentID]error
	restored bool
}

type claimed struct {
	store.Claim
	said      uint64 // which one it was
	withdrawn bool
}

// newPublished is nil where no etcd is configured.
func (a *agent) newPublished() *published {
	c := a.Config.Etcd
	if !c.Enabled() {
		return nil
	}
	return &published{
		config:   publish.Config{Log: a.Log, Kind: store.Pod, Node: a.Config.NodeName, IsAlive: a.isAlive, Problem: a.unpublished},
		settings: etcdconf.SettingsOf(c), form: ligato.Form(c.KeyForm), reopen: reopenInterval,
		tried: make(chan struct{}), claims: map[model.AttachmentID]claimed{}, kept: map[model.AttachmentID]error{},
	}
}

// publisher is nil, and no pointer to nothing, where no etcd is configured.
func (a *agent) publisher() attach.Publisher {
	if a.published == nil {
		return nil
	}
	return a.published
}

// isAlive reports whether the pod of another node, which has what one of this
// node wants, is there still.
func (a *agent) isAlive(ctx context.Context, o store.Owner) (bool, error) {
	_, found, err := a.source.Get(ctx, model.PodRef{Namespace: o.Namespace, Name: o.Name, UID: o.UID})
	return found, err
}

// unpublished is told what is wrong with what an owner publishes; nil when it is
// right again.
func (a *agent) unpublished(o store.Owner, err error) {
	if a.reporter != nil {
		a.reporter.Published(model.PodRef{Namespace: o.Namespace, Name: o.Name, UID: o.UID}, err)
	}
}

// run publishes until ctx ends.
func (p *published) run(ctx context.Context) error {
	retry := time.NewTicker(p.reopen)
	defer retry.Stop()
	for isFirst := true; ; isFirst = false {
		done, err := p.open()
		p.mu.Lock()
		isNew := err != nil && (p.reason == nil || p.reason.Error() != err.Error())
		p.reason = err
		p.mu.Unlock()
		if isFirst {
			close(p.tried)
		}
		if err == nil {
			return errors.Join(p.loop.Run(ctx), done())
		}
		if isNew {
			p.config.Log.WarnContext(ctx, "etcd cannot be used: pods with a microservice label are put off", slog.Any("error", err))
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// open makes the client and the loop, which is told everything of before.
func (p *published) open() (done func() error, err error) {
	connection, err := etcdconf.New(p.settings, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	client, err := store.Dial(connection.Config())
	if err != nil {
		if why := connection.Problem(); why != nil {
			err = why
		}
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.config
	c.Store = store.New(client)
	p.loop = publish.New(c)
	// In the order in which they came: of a pod's sandboxes the last has its label.
	for _, one := range slices.SortedFunc(maps.Values(p.claims), func(x, y claimed) int { return cmp.Compare(x.said, y.said) }) {
		p.loop.Set(one.Claim)
		if one.withdrawn {
			p.loop.Withdraw(one.Ref())
		}
	}
	for id, why := range p.kept {
		p.loop.Keep(store.PodRef(id), why)
	}
	if p.restored {
		p.loop.Restored()
	}
	return client.Close, nil
}

// claim is a publication as etcd is to have it.
func (p *published) claim(pub attach.Publication) (store.Claim, error) {
	items, err := ligato.Items(pub.Config, p.form)
	return store.Claim{
		Owner: store.Owner{
			Kind: p.config.Kind, Node: p.config.Node, Namespace: pub.Pod.Namespace, Name: pub.Pod.Name, UID: pub.Pod.UID, Attachment: pub.ID,
		},
		Label: pub.Config.Label, Items: items,
	}, err
}

// Publish implements attach.Publisher, as do the next four.
func (p *published) Publish(ctx context.Context, pub attach.Publication) error {
	claim, err := p.claim(pub)
	if err != nil {
		return model.Refusal(err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, publish.MaxWait)
	defer cancel()
	if err := p.awaitOpen(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.add(claim)
	p.mu.Unlock()
	err = p.loop.Publish(ctx, claim)
	if errors.Is(err, store.ErrTaken) || errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrInvalid) {
		return model.Refusal(err.Error())
	}
	return err
}

// awaitOpen waits for the first attempt to make a client, and says why there is
// none.
func (p *published) awaitOpen(ctx context.Context) error {
	select {
	case <-p.tried:
	case <-ctx.Done():
		return fmt.Errorf("etcd is not connected yet: %w", context.Cause(ctx))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

func (p *published) Set(pub attach.Publication) {
	claim, err := p.claim(pub)
	if err != nil {
		p.config.Log.Error("cannot publish on for a sandbox of the journal: what etcd has of it stays as it is",
			slog.String("sandbox", pub.ID.String()), slog.Any("error", err))
		p.Keep(pub.ID, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(claim)
	if p.loop != nil {
		p.loop.Set(claim)
	}
}

// add adds a claim, also for a loop that is yet to come. The caller holds p.mu.
func (p *published) add(claim store.Claim) {
	id := claim.Owner.Attachment
	p.said++
	p.claims[id] = claimed{Claim: claim, said: p.said}
	delete(p.kept, id)
}

func (p *published) Keep(id model.AttachmentID, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept[id] = why
	if p.loop != nil {
		p.loop.Keep(store.PodRef(id), why)
	}
}

func (p *published) Withdraw(id model.AttachmentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.kept, id)
	if one, ok := p.claims[id]; ok {
		one.withdrawn, one.Items = true, nil
		p.claims[id] = one
	}
	if p.loop != nil {
		p.loop.Withdraw(store.PodRef(id))
	}
	p.leaving()
}

func (p *published) Restored() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restored = true
	if p.loop != nil {
		p.loop.Restored()
	}
}
