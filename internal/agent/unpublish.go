// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/publish/etcdconf"
	"github.com/polynic/polynic/internal/publish/store"
)

// unpublishLimit is how long a removal waits for etcd.
const unpublishLimit = 10 * time.Second

// unpublish removes from etcd what the records there say is of this node's pods, and
// tells w of which labels. What it could not remove, because etcd does not answer for
// example, stays and is told as well: it keeps nothing else from being removed.
func unpublish(ctx context.Context, c config.Config, w io.Writer) error {
	if !c.Etcd.Enabled() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, unpublishLimit)
	defer cancel()
	labels, failed := dropOwned(ctx, c)
	for _, label := range labels {
		if _, err := fmt.Fprintf(w, "keys of the microservice label %s removed from etcd\n", label); err != nil {
			return err
		}
	}
	if failed == nil {
		return nil
	}
	_, err := fmt.Fprintf(w, "keys of pods of node %s may stay in etcd: %v (repeat this once etcd can be used, or delete them there)\n", c.NodeName, failed)
	return err
}

// dropOwned gives the labels of which the node's keys are gone, and why there may be
// keys still.
func dropOwned(ctx context.Context, c config.Config) (labels []string, err error) {
	connection, err := etcdconf.New(etcdconf.SettingsOf(c.Etcd), os.LookupEnv)
	if err != nil {
		return nil, err
	}
	client, err := store.Dial(connection.Config())
	if err != nil {
		return nil, errors.Join(connection.Problem(), err)
	}
	defer func() { _ = client.Close() }() // nothing is done by it any more
	s := store.New(client)
	own, _, err := s.Owned(ctx, store.Pod, c.NodeName)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, h := range own {
		if h.Broken != nil { // it may be this node's
			errs = append(errs, h.Broken)
			continue
		}
		if err := s.Drop(ctx, h.Label, h.Owner); err != nil {
			errs = append(errs, err)
			continue
		}
		labels = append(labels, h.Label)
	}
	return labels, errors.Join(errs...)
}
