// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/polynic/polynic/memif"
)

// A secret stays where it was put: whoever logs a configuration, or a part of
// it, does not tell it.
func TestSecretIsNotShown(t *testing.T) {
	c := memif.Config{Secret: "s3cret"}
	var told strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&told, verb+"\n", c.Secret)
	}
	fmt.Fprintf(&told, "%v %+v %#v %+v\n", c, c, c, &c)
	for _, h := range []slog.Handler{slog.NewTextHandler(&told, nil), slog.NewJSONHandler(&told, nil)} {
		log := slog.New(h)
		log.Info("an interface", slog.Any("secret", c.Secret), slog.Any("config", c))
	}
	err := json.NewEncoder(&told).Encode(struct{ Secret memif.Secret }{c.Secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{"s3cret", "733363726574", "[115 51"} {
		if strings.Contains(told.String(), leak) {
			t.Errorf("%q is in\n%s", leak, told.String())
		}
	}
	if got := fmt.Sprint(c.Secret, " ", memif.Secret("")); got != "hidden none" {
		t.Errorf("secrets are shown as %q", got)
	}
}
