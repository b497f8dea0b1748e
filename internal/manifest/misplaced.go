// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"

	"sigs.k8s.io/json"

	"github.com/polynic/polynic/api/podif"
)

// template is the part of a workload that its pods are made from.
type template struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
}

// workload is what is looked at of an object that is no pod: the shape that
// deployments, daemon sets, jobs and the like share.
type workload struct {
	template
	Spec struct {
		Template    *template `json:"template"`
		JobTemplate *struct {
			Spec struct {
				Template *template `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
}

// podTemplate is the template and its path; nil where there is none.
func (w workload) podTemplate() (*template, string) {
	if job := w.Spec.JobTemplate; job != nil && job.Spec.Template != nil {
		return job.Spec.Template, "spec.jobTemplate.spec.template"
	}
	return w.Spec.Template, "spec.template"
}

func annotationKeys() []string {
	return []string{podif.CustomIfAnnotation, podif.MicroserviceLabelAnnotation, podif.ServiceEndpointIfAnnotation}
}

// labelled warns of our annotations among a pod's labels, where nobody reads them.
func labelled(o object, d Document) []string {
	var warnings []string
	for _, key := range annotationKeys() {
		if _, is := d.Pod.Labels[key]; is {
			warnings = append(warnings, fmt.Sprintf("%s: warning: the label %s has no effect; it is an annotation: move it to metadata.annotations",
				o.field("metadata.labels."+key), key))
		}
	}
	return warnings
}

// misplaced warns of our annotations on a workload itself, where they reach no
// pod.
func misplaced(o object, d Document) []string {
	var w workload
	if err := json.UnmarshalCaseSensitivePreserveInts(o.raw, &w); err != nil {
		return nil // a kind of another shape
	}
	pods, path := w.podTemplate()
	var warnings []string
	for _, key := range annotationKeys() {
		if _, ok := w.Metadata.Annotations[key]; !ok {
			continue
		}
		advice := "it belongs on a pod"
		if pods != nil {
			if _, ok := pods.Metadata.Annotations[key]; ok {
				continue
			}
			advice = fmt.Sprintf("move it to %s.metadata.annotations", path)
		}
		warnings = append(warnings, fmt.Sprintf("%s: warning: annotation %s has no effect on a %s; %s",
			d.At(podif.Problem{Key: key}), key, d.Kind, advice))
	}
	return warnings
}
