// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"io"
	"strings"

	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/internal/publish/custom"
	"github.com/polynic/polynic/internal/publish/ligato"
)

// Custom writes what a document's CustomConfiguration would have in etcd. It
// reports false where its status would be a failure; the reasons are written then.
func (e *Explainer) Custom(w io.Writer, d manifest.Document) (bool, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "customconfiguration %s/%s (%s)", d.Custom.Namespace, d.Custom.Name, d.Position)
	parts, wrong := custom.Convert(&d.Custom.Spec, e.form)
	if len(wrong) > 0 {
		text.WriteString(" would be refused\n")
		for _, err := range wrong {
			fmt.Fprintf(&text, "  %v\n", err)
		}
	} else {
		text.WriteString("\n")
	}
	for _, p := range parts {
		fmt.Fprintf(&text, "  in etcd, for the agent with the label %s\n", p.Label)
		writeItems(&text, p.Items)
	}
	_, err := io.WriteString(w, text.String())
	return len(wrong) == 0, err
}

// writeItems writes keys and values, one below the other.
func writeItems(text *strings.Builder, items []ligato.Item) {
	for _, item := range items {
		fmt.Fprintf(text, "    %s\n      %s\n", item.Key, item.Value)
	}
}
