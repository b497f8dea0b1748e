// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"io"
	"strings"

	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish/ligato"
)

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
