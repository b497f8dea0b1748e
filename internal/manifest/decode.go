// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/json"

	v1 "github.com/polynic/polynic/api/v1"
)

// decoder collects the documents of one file.
type decoder struct {
	documents []Document
	errs      []*Error
	// first is where an object was first declared, by kind, namespace and name.
	first map[string]Position
}

func (d *decoder) document(s source) {
	if len(s.text) > MaxDocument {
		d.errs = append(d.errs, &Error{s.at(1, 0), fmt.Sprintf("the document is longer than %d bytes", MaxDocument)})
		return
	}
	if s.empty() {
		return
	}
	o, errs := parse(s)
	d.errs = append(d.errs, errs...)
	if o != nil {
		d.object(*o)
	}
}

// object decodes one object, or every one of a List.
func (d *decoder) object(o object) {
	header, ok := d.header(o)
	if !ok {
		return
	}
	if header.Kind != "List" {
		d.single(o, header)
		return
	}
	var list corev1.List
	if !d.strict(o, core, header, &list) {
		return
	}
	nodes := find(o.node, "items")
	for n, item := range list.Items {
		each := object{source: o.source, node: o.node, raw: item.Raw}
		if nodes != nil && n < len(nodes.Content) {
			each.node = resolve(nodes.Content[n])
		}
		if header, ok := d.header(each); ok {
			d.single(each, header)
		}
	}
}

// header reads what an object claims to be; it reports whether that was well.
func (d *decoder) header(o object) (metav1.TypeMeta, bool) {
	var header metav1.TypeMeta
	if len(o.raw) == 0 || o.raw[0] != '{' {
		d.errs = append(d.errs, notAnObject(o.source.of(o.node)))
		return header, false
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(o.raw, &header); err != nil {
		d.errs = append(d.errs, o.typeError(err))
		return header, false
	}
	if header.Kind == "" || header.APIVersion == "" {
		d.fail(o.source.of(o.node), "apiVersion and kind are required (apiVersion: v1, kind: Pod)")
		return header, false
	}
	return header, true
}

func (d *decoder) single(o object, header metav1.TypeMeta) {
	document := Document{
		Position: o.source.of(o.node), Kind: header.Kind, Raw: o.raw,
		annotations: findAnnotations(o),
	}
	document.Position.Column = 0
	kind := header.Kind
	if kind == "Service" && header.APIVersion != "v1" {
		kind = "" // there are others of that name, Knative's for example
	}
	switch kind {
	case "Pod":
		document.Pod = &corev1.Pod{}
		if !d.strict(o, core, header, document.Pod) || !d.named(o, header.Kind, &document.Pod.ObjectMeta) {
			return
		}
		document.Warnings = labelled(o, document)
	case "ConfigMap":
		document.ConfigMap = &corev1.ConfigMap{}
		if !d.strict(o, core, header, document.ConfigMap) || !d.named(o, header.Kind, &document.ConfigMap.ObjectMeta) {
			return
		}
	case "CustomConfiguration":
		document.Custom = &v1.CustomConfiguration{}
		if !d.strict(o, contiv, header, document.Custom) || !d.named(o, header.Kind, &document.Custom.ObjectMeta) || !d.valid(o, document.Custom) {
			return
		}
	case "Service":
		document.Service = &corev1.Service{}
		if !d.strict(o, core, header, document.Service) || !d.named(o, header.Kind, &document.Service.ObjectMeta) {
			return
		}
		if path, reason := PortFault(document.Service); path != "" {
			d.fail(o.field(path), path+": "+reason)
			return
		}
		document.Warnings = misplaced(o, document)
	case "List":
		d.fail(document.Position, "a List in a List is not served; list its items")
		return
	default:
		document.Warnings = misplaced(o, document)
	}
	d.documents = append(d.documents, document)
}

// The apiVersions of what is served.
const (
	core   = "v1"
	contiv = v1.Group + "/" + v1.Version
)

// valid checks what the schema of the kind would; it reports whether all was well.
func (d *decoder) valid(o object, c *v1.CustomConfiguration) bool {
	errs := c.Validate()
	for _, err := range errs {
		d.fail(o.field(err.Field), err.Error())
	}
	return len(errs) == 0
}

// strict decodes an object of an API; it reports whether all was well.
func (d *decoder) strict(o object, apiVersion string, header metav1.TypeMeta, into any) bool {
	if header.APIVersion != apiVersion {
		d.fail(o.field("apiVersion"), fmt.Sprintf("apiVersion %q of a %s is not known (want %s)", header.APIVersion, header.Kind, apiVersion))
		return false
	}
	wrong, err := json.UnmarshalStrict(o.raw, into)
	if err != nil {
		d.errs = append(d.errs, o.typeError(err))
		return false
	}
	for _, w := range wrong {
		position, advice := o.source.of(o.node), ""
		if at := json.FieldError(nil); errors.As(w, &at) {
			position = o.field(at.FieldPath())
			if key, ok := strings.CutPrefix(at.FieldPath(), "metadata."); ok && slices.Contains(annotationKeys(), key) {
				advice = "; it is an annotation: move it to metadata.annotations"
			}
		}
		d.fail(position, w.Error()+advice)
	}
	return len(wrong) == 0
}

// named checks what tells an object from others, and sets the namespace where
// it is left out.
func (d *decoder) named(o object, kind string, meta *metav1.ObjectMeta) bool {
	if meta.Namespace == "" {
		meta.Namespace = metav1.NamespaceDefault
	}
	if meta.Name == "" && meta.GenerateName != "" {
		d.fail(o.field("metadata.generateName"), "metadata.generateName is not served; set metadata.name")
		return false
	}
	if meta.Name == "" {
		d.fail(o.field("metadata"), fmt.Sprintf("metadata.name of a %s is missing", kind))
		return false
	}
	if len(validation.IsDNS1123Subdomain(meta.Name)) > 0 {
		d.fail(o.field("metadata.name"), fmt.Sprintf("metadata.name %q is not a name in Kubernetes (at most 253 "+
			"lower-case letters, digits, \"-\" and \".\", with a letter or digit at either end)", meta.Name))
		return false
	}
	if len(validation.IsDNS1123Label(meta.Namespace)) > 0 {
		d.fail(o.field("metadata.namespace"), fmt.Sprintf("metadata.namespace %q is not a name in Kubernetes (at most 63 "+
			"lower-case letters, digits and \"-\", with a letter or digit at either end)", meta.Namespace))
		return false
	}
	key := kind + " " + meta.Namespace + "/" + meta.Name
	if first, ok := d.first[key]; ok {
		d.fail(o.field("metadata.name"), fmt.Sprintf("%s is declared twice, first at %s", key, first))
		return false
	}
	d.first[key] = o.source.of(o.node)
	return true
}

// err joins everything that is wrong, in the order of the file.
func (d *decoder) err() error {
	slices.SortStableFunc(d.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column))
	})
	errs := make([]error, len(d.errs))
	for n, err := range d.errs {
		errs[n] = err
	}
	return errors.Join(errs...)
}

func (d *decoder) fail(p Position, reason string) {
	d.errs = append(d.errs, &Error{p, reason})
}
