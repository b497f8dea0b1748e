// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/etcdcerts"
)

const (
	day         = 24 * time.Hour
	defaultDays = 365
	maxDays     = 100 * 365
)

func newEtcdCerts() *cobra.Command {
	var r etcdcerts.Request
	var days int
	command := &cobra.Command{
		Use:   "etcd-certs",
		Short: "Make the certificates of the etcd in deploy/etcd",
		Long: `Make the certificates of the etcd in deploy/etcd and of its clients, and print their Secrets for kubectl:
polynic-etcd, and polynic-etcd-client for the agents and for the pods of each namespace that is named.
What is printed has private keys in it. All are signed by an authority that is forgotten: to have
another host or namespace, or a later end, make all of them anew, apply them, and restart etcd.`,
		Example: "  polynic etcd-certs | kubectl apply -f -\n" +
			"  polynic etcd-certs --host 192.168.56.101 --namespace default | kubectl apply -f -",
		Args: cobra.NoArgs,
	}
	command.Flags().StringSliceVar(&r.Hosts, "host", nil, "an `address` or name of a node, for those who use port 32379 there; may be repeated")
	command.Flags().StringSliceVar(&r.Namespaces, "namespace", nil, "a `namespace` whose pods connect to etcd; may be repeated")
	command.Flags().IntVar(&days, "days", defaultDays, "for how many `days` they are good")
	command.RunE = action(func(cmd *cobra.Command, _ []string) error {
		if days < 1 || days > maxDays {
			return fmt.Errorf("--days %d: want 1 to %d", days, maxDays)
		}
		r.Now, r.Lifetime = time.Now(), time.Duration(days)*day
		manifest, err := etcdcerts.Manifest(r)
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(manifest)
		return err
	})
	return command
}
