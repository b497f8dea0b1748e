// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/lab/container"
)

// family is one of the two.
type family struct {
	name string
	is   func(netip.Addr) bool
}

// ping is one ping from one end to another.
type ping struct {
	from, to   string
	isAnswered bool
}

// pings sends one ping from every end to every other, several at a time.
func (f family) pings(ctx context.Context, ends []end) ([]ping, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	var pings []ping
	var commands [][]string
	var places []container.Place
	for _, from := range ends {
		for _, to := range ends {
			source, target := f.address(from), f.address(to)
			if from.from == nil || from.name == to.name || !source.IsValid() || !target.IsValid() {
				continue
			}
			command := []string{"ping", "-n", "-q", "-c1", "-W3", target.String()}
			if from.isPod {
				command = append(command, "-I", source.String())
			}
			pings = append(pings, ping{from: from.name, to: to.name})
			commands = append(commands, command)
			places = append(places, *from.from)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxPings)
	for i := range pings {
		group.Go(func() error {
			code, err := container.Exec(ctx, places[i], commands[i], [3]*os.File{null, null, null})
			pings[i].isAnswered = code == 0
			return err
		})
	}
	return pings, group.Wait()
}

func (f family) address(e end) netip.Addr {
	if at := slices.IndexFunc(e.addresses, f.is); at >= 0 {
		return e.addresses[at]
	}
	return netip.Addr{}
}

// write shows who answered whom, and counts the pings that were lost.
func (f family) write(w io.Writer, ends []end, pings []ping) (int, error) {
	words := map[[2]string]string{}
	lost := 0
	for _, p := range pings {
		words[[2]string{p.from, p.to}] = "ok"
		if !p.isAnswered {
			words[[2]string{p.from, p.to}] = "LOST"
			lost++
		}
	}
	fmt.Fprintf(w, "\n%s pings, from the left to the top: %d of %d answered\n", f.name, len(pings)-lost, len(pings))
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, to := range ends {
		fmt.Fprint(out, "\t"+to.name)
	}
	fmt.Fprintln(out)
	for _, from := range ends {
		if from.from == nil {
			continue
		}
		fmt.Fprint(out, from.name)
		for _, to := range ends {
			fmt.Fprint(out, "\t"+cmp.Or(words[[2]string{from.name, to.name}], "-"))
		}
		fmt.Fprintln(out)
	}
	return lost, out.Flush()
}
