// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"io"
	"strings"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/watch"
)

// takeLabel gives a document's pod its microservice label, which one pod has: it is
// a problem where that is another document's. Of two, in a cluster the one that
// starts first has it.
func (e *Explainer) takeLabel(d manifest.Document, label string) podif.Problems {
	if label == "" {
		return nil
	}
	has, isTaken := e.labelled[label]
	if !isTaken || watch.ModelPod(has.Pod).Ref.SameName(watch.ModelPod(d.Pod).Ref) {
		e.labelled[label] = d
		return nil
	}
	return podif.Problems{{Severity: podif.Error, Key: podif.MicroserviceLabelAnnotation, Reason: fmt.Sprintf(
		"the microservice label %q of pod %s is that of pod %s (%s) already, and the one that is attached later is refused; give one of them another label",
		label, watch.ModelPod(d.Pod).Ref, watch.ModelPod(has.Pod).Ref, has.Position)}}
}

// published writes what would be put into etcd for the agent in the pod, with
// addresses, and MACs, of an empty node's first sandbox.
func (e *Explainer) published(w io.Writer, att model.Attachment) error {
	if att.MicroserviceLabel == "" {
		return nil
	}
	for n := range att.Interfaces {
		if m := att.Interfaces[n].Memif; m != nil {
			m.Secret = model.NewSecret(secretHere)
		}
	}
	told, err := attach.Told(e.node, att)
	if err != nil {
		return err
	}
	items, err := ligato.Items(told, e.form)
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "  in etcd, for the agent with the label %s (addresses and MACs are examples)\n", att.MicroserviceLabel)
	writeItems(&text, items)
	// The values are JSON, in which the brackets are escaped.
	_, err = io.WriteString(w, strings.ReplaceAll(text.String(), escaped, secretHere))
	return err
}

// secretHere stands where a memif's secret would be; escaped is how JSON may have
// it.
const secretHere, escaped = "<secret>", `\u003csecret\u003e`
