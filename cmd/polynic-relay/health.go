// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/polynic/polynic/internal/relay/relayapi"
)

// healthWord is the first argument by which the program asks a relay instead of
// being one: what a probe runs.
const healthWord = "health"

// healthLimit bounds the question.
const healthLimit = 4 * time.Second

// health is 0 where the relay at the socket answers.
func health(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("polynic-relay health", flag.ContinueOnError)
	flags.SetOutput(stderr)
	socket := flags.String("socket", "/run/polynic/relay.sock", "`path` of the relay's socket")
	if err := flags.Parse(args); err != nil {
		return 1
	}
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	client := relayapi.New(*socket, slog.New(slog.DiscardHandler))
	defer client.Close()
	if _, err := client.List(ctx); err != nil {
		fmt.Fprintln(stderr, "polynic-relay:", err)
		return 1
	}
	return 0
}
