// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/polynic/polynic/internal/lab"
)

// absent is the error of an object of a kind that is not there; that of a pod is
// lab.ErrNoPod.
type absent string

func (a absent) Error() string { return "there is no such " + string(a) }

// remove removes pods, services, ConfigMaps and CustomConfigurations, and tells how
// each fared.
func (d *Daemon) remove(ctx context.Context, request lab.DeleteRequest, tell func(lab.Event)) {
	fared := func(object string, err error) {
		_, isAbsent := errors.AsType[absent](err)
		if !request.IgnoreNotFound || !isAbsent && !errors.Is(err, lab.ErrNoPod) {
			tell(outcome(object, "deleted", "not deleted", err))
		}
	}
	eachPod(request.Pods, func(name lab.Name) {
		began := time.Now()
		err := d.removePod(ctx, name)
		d.logVerb(ctx, "delete", name, began, err)
		fared("pod "+name.String(), err)
	})
	for _, name := range request.Services {
		fared("service "+name.String(), d.removeService(name))
	}
	for _, name := range request.ConfigMaps {
		err := os.Remove(d.Dir.ConfigMap(name.Namespace, name.Name))
		if errors.Is(err, os.ErrNotExist) {
			err = absent("ConfigMap")
		}
		fared("configmap "+name.String(), err)
	}
	for _, name := range request.Customs {
		fared("customconfiguration "+name.String(), d.removeCustom(ctx, name))
	}
}

func (d *Daemon) removePod(ctx context.Context, name lab.Name) error {
	p, err := d.pods.take(name)
	if err != nil {
		return err
	}
	defer d.pods.putBack(name, p)
	if p.record == nil {
		return lab.ErrNoPod
	}
	// Once begun it is not given up: half a pod is of no use to anybody.
	return d.discard(context.WithoutCancel(ctx), p)
}

// down removes every pod and stops the node. Nobody else works on pods.
func (d *Daemon) down(ctx context.Context, tell func(lab.Event)) {
	ctx = context.WithoutCancel(ctx)
	if names := d.pods.names(); len(names) > 0 {
		tell(lab.Event{Kind: lab.Progress, Text: fmt.Sprintf("deleting %d pods", len(names))})
		d.remove(ctx, lab.DeleteRequest{Pods: names}, tell)
	}
	tell(lab.Event{Kind: lab.Progress, Text: "stopping agent and relay"})
	if err := d.stopNode(ctx); err != nil {
		d.Log.ErrorContext(ctx, "node not stopped", slog.Any("error", err))
		tell(lab.Event{Kind: lab.Failed, Object: "node " + lab.NodeName, Text: err.Error()})
	}
}
