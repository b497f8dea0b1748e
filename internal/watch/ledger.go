// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"log/slog"
	"maps"
	"reflect"
	"slices"

	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/internal/model"
)

// ledger keeps which file declares which pods, and tells a sink what that makes
// of each pod. A pod that several files declare is the one of the file that
// comes first by name.
type ledger struct {
	sink    Sink
	log     *slog.Logger
	files   map[string][]podName
	pods    map[podName]map[string]model.Pod // by file
	told    map[podName]model.Pod
	pending []podName // pods that set was about since the last flush
}

// podName tells pods of a folder apart.
type podName struct{ namespace, name string }

func nameOf(ref model.PodRef) podName { return podName{ref.Namespace, ref.Name} }

func newLedger(sink Sink, log *slog.Logger) *ledger {
	return &ledger{
		sink: sink, log: log,
		files: map[string][]podName{}, pods: map[podName]map[string]model.Pod{}, told: map[podName]model.Pod{},
	}
}

// set implements contents, as do the other methods.
func (l *ledger) set(file string, documents []manifest.Document) {
	var pods []model.Pod
	for _, document := range documents {
		if document.Pod != nil {
			pods = append(pods, ModelPod(document.Pod))
		}
	}
	for _, n := range l.files[file] {
		delete(l.pods[n], file)
	}
	l.pending = append(l.pending, l.files[file]...)
	delete(l.files, file)
	for _, pod := range pods {
		n := nameOf(pod.Ref)
		if l.pods[n] == nil {
			l.pods[n] = map[string]model.Pod{}
		}
		l.pods[n][file] = pod
		l.files[file] = append(l.files[file], n)
	}
	l.pending = append(l.pending, l.files[file]...)
}

func (l *ledger) synced() { l.sink.Synced() }

// flush brings the sink up to date. Changes that came together are told
// together, so that a pod whose file was renamed is not deleted meanwhile.
func (l *ledger) flush() {
	done := map[podName]bool{}
	for _, n := range l.pending {
		if !done[n] {
			done[n] = true
			l.tell(n)
		}
	}
	l.pending = l.pending[:0]
}

// tell brings the sink up to date with one pod.
func (l *ledger) tell(n podName) {
	old, was := l.told[n]
	declared := slices.Sorted(maps.Keys(l.pods[n]))
	if len(declared) == 0 {
		delete(l.pods, n)
		delete(l.told, n)
		if was {
			l.sink.DeletePod(old.Ref)
		}
		return
	}
	if len(declared) > 1 {
		l.log.Warn("several files declare one pod; the first counts",
			slog.String("pod", n.namespace+"/"+n.name), slog.Any("files", declared))
	}
	pod := l.pods[n][declared[0]]
	if was && reflect.DeepEqual(old, pod) {
		return
	}
	if was && old.Ref != pod.Ref {
		l.sink.DeletePod(old.Ref)
	}
	l.told[n] = pod
	l.sink.PutPod(pod)
}
