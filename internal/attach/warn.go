// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"log/slog"

	"github.com/polynic/polynic/internal/model"
)

// WarningKind tells warnings apart.
type WarningKind uint8

// The kinds of warnings.
const (
	// Annotation: an annotation is not what it seems.
	Annotation WarningKind = iota + 1
	// FewDevices: a pod's containers have fewer memif devices than it asks for
	// memif interfaces.
	FewDevices
)

// Warner hears what a pod's author should know although the pod is served. It
// returns at once.
type Warner interface {
	Warn(pod model.PodRef, kind WarningKind, text string)
}

// warn tells the log, and whoever hears of warnings.
func (a *Attacher) warn(ctx context.Context, pod model.PodRef, kind WarningKind, text string) {
	a.config.Log.WarnContext(ctx, "a pod is served, though not all of it may be meant so",
		slog.String("pod", pod.String()), slog.String("warning", text))
	if a.config.Warner != nil {
		a.config.Warner.Warn(pod, kind, text)
	}
}
