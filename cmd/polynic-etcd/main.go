// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Polynic-etcd is the etcd of `polynic lab`, which starts it. It is a program of
// its own because etcd is larger than all the others together; no node needs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/polynic/polynic/internal/lab/etcd"
	"github.com/polynic/polynic/internal/release"
)

// version is set by the build.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "polynic-etcd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var config etcd.Config
	var ports string
	flags := flag.NewFlagSet("polynic-etcd", flag.ContinueOnError)
	flags.StringVar(&config.Data, "data", "", "`folder` of what etcd holds")
	flags.StringVar(&config.Endpoint, "endpoint", "", "`file` that says where it serves")
	flags.StringVar(&config.Netns, "netns", "", "`path` of the node's network namespace")
	flags.StringVar(&ports, "ports", "2379,32379", "`ports` at which it is reached there")
	isVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil // it is printed
	} else if err != nil {
		return err
	}
	if *isVersion {
		_, err := fmt.Print(release.Line("polynic-etcd", release.Version(version)))
		return err
	}
	if config.Data == "" || config.Endpoint == "" || config.Netns == "" {
		return errors.New("-data, -endpoint and -netns are needed: polynic lab up starts this program, and gives them")
	}
	for text := range strings.SplitSeq(ports, ",") {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return fmt.Errorf("-ports: %w", err)
		}
		config.Ports = append(config.Ports, int(port))
	}
	return etcd.Serve(ctx, config)
}
