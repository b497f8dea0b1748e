// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// object is an object of the API as JSON.
type object map[string]any

// change is one step of the history; before or after is nil where there was, or
// is, no such object.
type change struct {
	version       int
	resource      string
	before, after object
}

func (o object) field(name string) string {
	var value any = map[string]any(o)
	for part := range strings.SplitSeq(name, ".") {
		inner, _ := value.(map[string]any)
		value = inner[part]
	}
	text, _ := value.(string)
	return text
}

func (o object) metadata() map[string]any {
	inner, ok := o["metadata"].(map[string]any)
	if !ok {
		inner = map[string]any{}
		o["metadata"] = inner
	}
	return inner
}

// selection is what a list or a watch is of: FIELD=VALUE, and LABEL for one that
// has the label, !LABEL for one that has not, with commas between them.
type selection struct{ field, labels string }

func selectionOf(query url.Values) selection {
	return selection{query.Get("fieldSelector"), query.Get("labelSelector")}
}

// matches reports whether an object is there and is selected.
func (o object) matches(by selection) bool {
	if o == nil {
		return false
	}
	labels, _ := o.metadata()["labels"].(map[string]any)
	for label := range strings.SplitSeq(by.labels, ",") {
		name, absent := strings.CutPrefix(label, "!")
		if _, has := labels[name]; name != "" && has == absent {
			return false
		}
	}
	name, value, ok := strings.Cut(by.field, "=")
	return !ok || o.field(name) == value
}

// form is how objects are asked for.
type form string

const (
	whole    form = ""
	metadata form = "PartialObjectMetadata"
)

func formOf(r *http.Request) form {
	if strings.Contains(r.Header.Get("Accept"), "as="+string(metadata)) {
		return metadata
	}
	return whole
}

// shown is the object as it was asked for.
func (o object) shown(f form) object {
	if f == whole {
		return o
	}
	return object{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": o["metadata"]}
}

func failure(code int, reason, message string) object {
	return object{
		"apiVersion": "v1", "kind": "Status", "status": "Failure",
		"code": code, "reason": reason, "message": message,
	}
}

func invalid(field, reason string) object {
	status := failure(http.StatusUnprocessableEntity, "Invalid", field+": "+reason)
	status["details"] = object{"causes": []object{{"reason": "FieldValueInvalid", "message": reason, "field": field}}}
	return status
}

func tooLarge(version string, now int) object {
	status := failure(http.StatusGatewayTimeout, "Timeout", fmt.Sprintf("Too large resource version: %s, current: %d", version, now))
	status["details"] = object{"causes": []object{{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}}}
	return status
}

// list answers for all objects of a resource, whatever their namespace.
func (s *Server) list(resource string, query url.Values, f form) object {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := query.Get("resourceVersion")
	if query.Get("resourceVersionMatch") != "" && asked == "" {
		return failure(http.StatusUnprocessableEntity, "Invalid", "resourceVersionMatch is forbidden without resourceVersion")
	}
	if n, _ := strconv.Atoi(asked); n > s.version {
		return tooLarge(asked, s.version)
	}
	items := []object{}
	for _, p := range slices.Sorted(maps.Keys(s.objects)) {
		if o := s.objects[p]; resourceOf(p) == resource && o.matches(selectionOf(query)) {
			items = append(items, o.shown(f))
		}
	}
	kind, group := kindOf(resource)+"List", groupOf(resource)
	if f == metadata {
		kind, group = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	return object{
		"apiVersion": group, "kind": kind,
		"metadata": object{"resourceVersion": strconv.Itoa(s.version)}, "items": items,
	}
}

// one answers for one object, or a new one.
func (s *Server) one(r *http.Request, at string) object {
	body, err := bodyOf(r)
	if err != nil {
		return failure(http.StatusBadRequest, "BadRequest", err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost {
		at = path.Join(at, body.field("metadata.name"))
		if s.objects[at] != nil {
			return failure(http.StatusConflict, "AlreadyExists", at+" exists")
		}
		return s.put(at, body)
	}
	at, isStatus := strings.CutSuffix(at, "/status")
	was := s.objects[at]
	if was == nil {
		return failure(http.StatusNotFound, "NotFound", at+" not found")
	}
	switch r.Method {
	case http.MethodPatch:
		if uid := body.field("metadata.uid"); uid != "" && uid != was.field("metadata.uid") {
			return invalid("metadata.uid", "field is immutable")
		}
		if isStatus {
			delete(body, "spec")
		}
		return s.put(at, merged(was, body))
	case http.MethodDelete:
		return s.remove(at)
	default:
		return was
	}
}

// bodyOf reads an object, in JSON or, an event or an endpoint slice, in protobuf.
func bodyOf(r *http.Request) (object, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil || len(text) == 0 {
		return object{}, err
	}
	if r.Header.Get("Content-Type") == runtime.ContentTypeProtobuf {
		scheme := runtime.NewScheme()
		scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Event{})
		scheme.AddKnownTypes(discoveryv1.SchemeGroupVersion, &discoveryv1.EndpointSlice{})
		event, _, err := protobuf.NewSerializer(scheme, scheme).Decode(text, nil, nil)
		if err != nil {
			return nil, err
		}
		if text, err = json.Marshal(event); err != nil {
			return nil, err
		}
	}
	body := object{}
	return body, json.Unmarshal(text, &body)
}

// put stores an object; the caller holds s.mu.
func (s *Server) put(at string, o object) object {
	was := s.objects[at]
	s.version++
	// A patch of something else leaves it that of the object before, which answers show.
	meta := maps.Clone(o.metadata())
	o["metadata"] = meta
	meta["resourceVersion"] = strconv.Itoa(s.version)
	if meta["uid"] == nil {
		meta["uid"] = fmt.Sprintf("uid-%d", s.version)
	}
	if parts := strings.Split(at, "/"); parts[0] == "namespaces" {
		meta["namespace"] = parts[1]
	}
	o["apiVersion"], o["kind"] = groupOf(resourceOf(at)), kindOf(resourceOf(at))
	s.objects[at] = o
	s.note(change{version: s.version, resource: resourceOf(at), before: was, after: o})
	return o
}

// remove ends an object, in two steps, as a pod on a node is: it is marked, and
// then it goes. Its last state has the version of its end. The caller holds s.mu.
func (s *Server) remove(at string) object {
	mark := object{"metadata": map[string]any{"deletionTimestamp": "2026-01-01T00:00:00Z"}}
	was := s.put(at, merged(s.objects[at], mark))
	delete(s.objects, at)
	s.version++
	last := merged(was, object{"metadata": map[string]any{"resourceVersion": strconv.Itoa(s.version)}})
	s.note(change{version: s.version, resource: resourceOf(at), before: last})
	return last
}

func (s *Server) note(c change) {
	s.history = append(s.history, c)
	s.tell()
}

// merged is an object with a merge patch (RFC 7396) on it.
func merged(o, patch object) object {
	result := maps.Clone(o)
	for key, value := range patch {
		inner, isObject := value.(map[string]any)
		was, _ := result[key].(map[string]any)
		switch {
		case value == nil:
			delete(result, key)
		case isObject:
			result[key] = map[string]any(merged(was, inner))
		default:
			result[key] = value
		}
	}
	if result == nil {
		result = patch
	}
	return result
}

// resourceOf is "pods" of "namespaces/default/pods/web".
func resourceOf(at string) string { return path.Base(path.Dir(at)) }

func kindOf(resource string) string {
	return map[string]string{
		"pods": "Pod", "nodes": "Node", "events": "Event", "services": "Service", endpointSlices: "EndpointSlice",
	}[resource]
}

const (
	endpointSlices = "endpointslices"
	discovery      = "discovery.k8s.io/v1"
)

func groupOf(resource string) string {
	if resource == endpointSlices {
		return discovery
	}
	return "v1"
}
