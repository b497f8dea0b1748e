// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package usage_test

import (
	"errors"
	"testing"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/usage"
)

func TestLead(t *testing.T) {
	for want, args := range map[string][]string{
		"it failed":                            {},
		"unknown flag: --no; see `top --help`": {"--no"},
		`unknown command "no" for "top"; see ` + "`top --help`":             {"no"},
		"unknown shorthand flag: 'x' in -x; see `top below --help`":         {"below", "-x"},
		`unknown command "no" for "top below"; see ` + "`top below --help`": {"below", "no"},
		"it failed below": {"below"},
	} {
		top := &cobra.Command{
			Use: "top", Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
			RunE: func(*cobra.Command, []string) error { return errors.New("it failed") },
		}
		top.AddCommand(&cobra.Command{
			Use: "below", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return errors.New("it failed below") },
		})
		usage.Lead(top)
		top.SetArgs(args)
		if err := top.Execute(); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", args, err, want)
		}
	}
}
