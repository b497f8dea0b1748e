// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	v1 "github.com/polynic/polynic/api/v1"
	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/publish/custom"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
)

// etcdLimit is how long etcd, on this machine, may take for one object, and
// etcdRetry how often it is looked for meanwhile.
const (
	etcdLimit = 10 * time.Second
	etcdRetry = 100 * time.Millisecond
)

// applyCustom does for a CustomConfiguration what the controller of a cluster
// does, once: what is in the lab's etcd nobody alters unasked. What an object has
// there is told by its record.
func (d *Daemon) applyCustom(ctx context.Context, c *v1.CustomConfiguration) (string, error) {
	parts, wrong := custom.Convert(&c.Spec, ligato.Form(d.agent.Etcd.KeyForm))
	if len(wrong) > 0 {
		return "", wrong.ToAggregate()
	}
	owner := store.Owner{Kind: store.Custom, Namespace: c.Namespace, Name: c.Name, UID: string(c.UID)}
	ctx, cancel := context.WithTimeout(ctx, etcdLimit)
	defer cancel()
	text := "unchanged"
	err := d.withStore(ctx, func(s *store.Store) error {
		before, err := holdings(ctx, s, owner)
		if err != nil {
			return err
		}
		for _, p := range parts {
			written, err := s.Mend(ctx, store.Claim{Owner: owner, Label: p.Label, Items: p.Items}, func(context.Context, store.Owner) (bool, error) { return true, nil })
			if err != nil {
				return err
			}
			if written.Changed {
				text = "published"
			}
			delete(before, p.Label)
		}
		for label := range before {
			text = "published"
			if err := s.Drop(ctx, label, owner); err != nil {
				return err
			}
		}
		text += ": " + custom.Text(parts)
		return nil
	})
	return text, err
}

// removeCustom removes everything that a CustomConfiguration has.
func (d *Daemon) removeCustom(ctx context.Context, name lab.Name) error {
	owner := store.Owner{Kind: store.Custom, Namespace: name.Namespace, Name: name.Name}
	ctx, cancel := context.WithTimeout(ctx, etcdLimit)
	defer cancel()
	return d.withStore(ctx, func(s *store.Store) error {
		labels, err := holdings(ctx, s, owner)
		if err != nil {
			return err
		}
		if len(labels) == 0 {
			return absent("CustomConfiguration")
		}
		for label, o := range labels {
			if err := s.Drop(ctx, label, o); err != nil {
				return err
			}
		}
		return nil
	})
}

// holdings are the labels under which an object has something, with the owner of
// each record.
func holdings(ctx context.Context, s *store.Store, owner store.Owner) (map[string]store.Owner, error) {
	all, _, err := s.Owned(ctx, store.Custom, "")
	if err != nil {
		return nil, err
	}
	found := map[string]store.Owner{}
	for _, h := range all {
		if h.Owner.Namespace == owner.Namespace && h.Owner.Name == owner.Name {
			found[h.Label] = h.Owner
		}
	}
	return found, nil
}

// withStore does something, which may be begun anew, with the lab's etcd. One that
// is about to serve is waited for while ctx lives.
func (d *Daemon) withStore(ctx context.Context, work func(*store.Store) error) error {
	if err := d.settings.EtcdAbsence(); err != nil {
		return fmt.Errorf("there is no etcd to write to: %w", err)
	}
	retry := time.NewTicker(etcdRetry)
	defer retry.Stop()
	for {
		err := d.tryStore(ctx, work)
		if !errors.Is(err, store.ErrAway) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (d *Daemon) tryStore(ctx context.Context, work func(*store.Store) error) error {
	endpoint, err := lab.EtcdEndpoint(d.Dir)
	if err != nil {
		return fmt.Errorf("etcd does not serve yet: %w", err)
	}
	client, err := store.Dial(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		return err
	}
	defer func() {
		if err := client.Close(); err != nil {
			d.Log.DebugContext(ctx, "close etcd", slog.Any("error", err))
		}
	}()
	return work(store.New(client))
}
