// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/podspec"
	"github.com/polynic/polynic/internal/lab/sandbox"
)

// maxAtOnce bounds how many pods are worked on at a time.
const maxAtOnce = 16

// apply brings ConfigMaps, CustomConfigurations, services and pods into being, and
// tells how each fared.
func (d *Daemon) apply(ctx context.Context, request lab.ApplyRequest, tell func(lab.Event)) {
	for _, c := range request.ConfigMaps {
		object := "configmap " + c.Namespace + "/" + c.Name
		text, err := d.applyConfigMap(c)
		tell(outcome(object, text, "refused", err))
	}
	for _, c := range request.Customs {
		text, err := d.applyCustom(ctx, c)
		tell(outcome("customconfiguration "+c.Namespace+"/"+c.Name, text, "refused", err))
	}
	d.applyServices(request.Services, tell)
	eachPod(request.Pods, func(manifest *corev1.Pod) {
		name := lab.Name{Namespace: manifest.Namespace, Name: manifest.Name}
		object := "pod " + name.String()
		began := time.Now()
		text, err := d.applyPod(ctx, name, manifest, func(text string) {
			tell(lab.Event{Kind: lab.Progress, Object: object, Text: text})
		})
		d.logVerb(ctx, "apply", name, began, err)
		tell(outcome(object, text, "refused", err))
	})
}

// outcome tells how a verb fared: done in words, or failed in one and why. The
// reason need not name the object again.
func outcome(object, done, failed string, err error) lab.Event {
	if err != nil {
		reason := strings.TrimPrefix(err.Error(), object+": ")
		return lab.Event{Kind: lab.Failed, Object: object, Text: failed + ": " + reason}
	}
	return lab.Event{Kind: lab.Done, Object: object, Text: done}
}

// eachPod works on several at a time; work deals with its own errors.
func eachPod[T any](list []T, work func(T)) {
	var group errgroup.Group
	group.SetLimit(maxAtOnce)
	for _, one := range list {
		group.Go(func() error {
			work(one)
			return nil
		})
	}
	_ = group.Wait() // work has no errors
}

func (d *Daemon) logVerb(ctx context.Context, verb string, name lab.Name, began time.Time, err error) {
	level, result := slog.LevelInfo, slog.String("result", "ok")
	if err != nil {
		level, result = slog.LevelWarn, slog.Any("error", err)
	}
	d.Log.LogAttrs(ctx, level, "pod verb", slog.String("verb", verb), slog.String("pod", name.String()),
		slog.Duration("took", time.Since(began)), result)
}

func (d *Daemon) applyPod(ctx context.Context, name lab.Name, manifest *corev1.Pod, tell func(string)) (string, error) {
	p, err := d.pods.take(name)
	if err != nil {
		return "", err
	}
	defer d.pods.putBack(name, p)
	if p.record != nil {
		return unchanged(p.record, manifest)
	}
	manifest = manifest.DeepCopy()
	manifest.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	if manifest.UID == "" {
		manifest.UID = newUID()
	}
	if err := podspec.Check(manifest, lab.NodeName); err != nil {
		return "", err
	}
	if err := d.checkEtcd(manifest); err != nil {
		return "", err
	}
	record := &lab.Pod{Manifest: manifest, Step: lab.Starting, Sandbox: sandbox.NewID()}
	spec, err := d.spec(record)
	if err == nil {
		_, err = spec.Containers() // what can be known to fail fails here
	}
	if err != nil {
		return "", err
	}
	return "running", d.startPod(ctx, p, record, tell)
}

// startPod brings a pod up, or leaves nothing of it.
func (d *Daemon) startPod(ctx context.Context, p *pod, record *lab.Pod, tell func(string)) error {
	p.record = record
	err := d.bringUp(ctx, p, tell)
	if err == nil {
		err = p.update(d.Dir, func(r *lab.Pod) { r.Step = lab.Running })
	}
	if err == nil {
		d.showStatus(ctx, p)
	}
	if err != nil {
		// The context may be over; a pod half-made is still to be removed.
		return errors.Join(err, d.discard(context.WithoutCancel(ctx), p))
	}
	return nil
}

// unchanged says what an apply of a pod that exists comes to.
func unchanged(record *lab.Pod, manifest *corev1.Pod) (string, error) {
	if record.Step != lab.Running {
		return "", fmt.Errorf("it is %s; delete it first", record.Step)
	}
	change, changed, err := podspec.Changed(record.Manifest, manifest)
	if err != nil {
		return "", err
	}
	if changed {
		return "", fmt.Errorf("it exists, and its %s; a pod that runs is not changed: delete it first", change)
	}
	return "unchanged", nil
}

// newUID is a random UUID (RFC 9562, version 4).
func newUID() types.UID {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]))
}
