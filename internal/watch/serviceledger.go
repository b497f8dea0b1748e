// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/internal/model"
)

// serviceLedger keeps which file declares which services and pods, and tells a sink
// what that makes of services and their endpoints. Of what several files declare,
// that of the first by name counts.
type serviceLedger struct {
	sink     ServiceSink
	services declared[selected]
	pods     declared[candidate]

	told   map[podName]model.Service
	slices map[podName]map[string]model.EndpointSlice // as told, by service and name
	dirty  map[podName]bool                           // services
}

// declared is what files declare, by what it is called and by file.
type declared[T any] struct {
	by    map[podName]map[string]T
	names map[string][]podName // by file
}

func newDeclared[T any]() declared[T] {
	return declared[T]{by: map[podName]map[string]T{}, names: map[string][]podName{}}
}

func (d declared[T]) put(file string, name podName, value T) {
	if d.by[name] == nil {
		d.by[name] = map[string]T{}
	}
	d.by[name][file] = value
	d.names[file] = append(d.names[file], name)
}

// clear takes out what a file declared, and lists it.
func (d declared[T]) clear(file string) []T {
	var were []T
	for _, name := range d.names[file] {
		if was, ok := d.by[name][file]; ok {
			were = append(were, was)
		}
		delete(d.by[name], file)
		if len(d.by[name]) == 0 {
			delete(d.by, name)
		}
	}
	delete(d.names, file)
	return were
}

func (d declared[T]) get(name podName) (T, bool) {
	files := slices.Sorted(maps.Keys(d.by[name]))
	if len(files) == 0 {
		var none T
		return none, false
	}
	return d.by[name][files[0]], true
}

func newServiceLedger(sink ServiceSink) *serviceLedger {
	return &serviceLedger{
		sink: sink, services: newDeclared[selected](), pods: newDeclared[candidate](),
		told: map[podName]model.Service{}, slices: map[podName]map[string]model.EndpointSlice{}, dirty: map[podName]bool{},
	}
}

// set implements contents, as do the other methods.
func (l *serviceLedger) set(file string, documents []manifest.Document) {
	for _, name := range l.services.names[file] {
		l.dirty[name] = true
	}
	l.services.clear(file)
	for _, pod := range l.pods.clear(file) {
		l.touch(pod)
	}
	for _, d := range documents {
		switch {
		case d.Service != nil && OtherProxy(d.Service) == "":
			name := podName{d.Service.Namespace, d.Service.Name}
			l.services.put(file, name, selectedOf(d.Service))
			l.dirty[name] = true
		case d.Pod != nil:
			pod := candidateOf(d.Pod)
			l.pods.put(file, nameOf(pod.ref), pod)
			l.touch(pod)
		}
	}
}

// touch has the services looked at that choose a pod.
func (l *serviceLedger) touch(pod candidate) {
	for name := range l.services.by {
		if s, ok := l.services.get(name); ok && s.chooses(pod) {
			l.dirty[name] = true
		}
	}
}

func (l *serviceLedger) synced() { l.sink.Synced() }

func (l *serviceLedger) flush() {
	for name := range l.dirty {
		l.tell(name)
	}
	clear(l.dirty)
}

// tell brings the sink up to date with one service: its endpoints come before it
// and go after it.
func (l *serviceLedger) tell(name podName) {
	s, there := l.services.get(name)
	now := map[string]model.EndpointSlice{}
	if there {
		for _, slice := range l.endpoints(s) {
			now[slice.Name] = slice
		}
	}
	for _, n := range slices.Sorted(maps.Keys(now)) {
		if was, known := l.slices[name][n]; !known || !reflect.DeepEqual(was, now[n]) {
			l.sink.PutSlice(model.SliceName{Namespace: name.namespace, Name: n}, now[n])
		}
	}
	was, known := l.told[name]
	switch {
	case there && (!known || !reflect.DeepEqual(was, s.Service)):
		l.told[name] = s.Service
		l.sink.PutService(s.Service)
	case !there && known:
		delete(l.told, name)
		l.sink.DeleteService(was.Ref)
	}
	for n := range l.slices[name] {
		if _, still := now[n]; !still {
			l.sink.DeleteSlice(model.SliceName{Namespace: name.namespace, Name: n})
		}
	}
	l.slices[name] = now
	if len(now) == 0 {
		delete(l.slices, name)
	}
}

// endpoints makes a service's endpoint slices: one for each family and each set of
// ports, since pods may have a named port at different numbers.
func (l *serviceLedger) endpoints(s selected) []model.EndpointSlice {
	found := map[string]*model.EndpointSlice{}
	for _, name := range slices.SortedFunc(maps.Keys(l.pods.by), comparePodNames) {
		pod, _ := l.pods.get(name)
		if !s.chooses(pod) {
			continue
		}
		ports := s.portsOf(pod)
		for _, endpoint := range pod.endpoints(s.notReadyToo) {
			family := 4
			if endpoint.Address.Is6() {
				family = 6
			}
			var key strings.Builder
			fmt.Fprintf(&key, "%s-ipv%d", s.Ref.Name, family)
			for _, p := range ports {
				fmt.Fprintf(&key, "-%s%d", p.Name, p.Port)
			}
			if found[key.String()] == nil {
				found[key.String()] = &model.EndpointSlice{Name: key.String(), Service: s.Ref, Ports: ports}
			}
			found[key.String()].Endpoints = append(found[key.String()].Endpoints, endpoint)
		}
	}
	var list []model.EndpointSlice
	for _, key := range slices.Sorted(maps.Keys(found)) {
		list = append(list, *found[key])
	}
	return list
}
