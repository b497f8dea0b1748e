// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/model"
)

// A secret does not show in whatever way it, or what holds it, is printed.
func TestSecretIsNotShown(t *testing.T) {
	const canary = "bcdfghjklmnpqrstvwxz"
	a := model.MemifAllocation{ID: "folder", Secret: model.NewSecret(canary)}
	within := struct{ inner model.MemifAllocation }{a}
	deeper := struct{ list []any }{[]any{&within, map[string]any{"a": a}, fmt.Errorf("with %v: %w", a, error(nil))}}
	for _, value := range []any{a.Secret, &a.Secret, a, &a, within, deeper, []model.MemifAllocation{a}} {
		var shown strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&shown, verb+"\n", value)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", slog.Any("value", value))
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", slog.Any("value", value))
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{shown.String(), log.String(), string(text)} {
			if strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary)) {
				t.Errorf("%T shows its secret:\n%s", value, s)
			}
		}
	}
	if got := a.Secret.Reveal(); got != canary {
		t.Errorf("Reveal gives %q", got)
	}
}

func TestSecretsAreCompared(t *testing.T) {
	a := model.NewSecret("a")
	if !a.Equal(model.NewSecret("a")) || a.Equal(model.NewSecret("b")) || a.Equal(model.Secret{}) {
		t.Error("secrets are told by their text")
	}
	if !(model.Secret{}).Equal(model.NewSecret("")) {
		t.Error("no secret is an empty one")
	}
}
