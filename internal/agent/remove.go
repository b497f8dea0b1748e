// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// remover is a dataplane that can take away all that carries our mark.
type remover interface {
	RemoveAll(ctx context.Context, known desired.Set) error
}

// Remove takes away everything that polynic made on the node and in its pods:
// links, routes, rules, the nftables table, settings, and the agent's own state.
// The relay runs, where there are taps; an agent may not.
func Remove(ctx context.Context, o Options) error {
	kept, err := openJournal(o)
	if err != nil {
		return err
	}
	defer kept.journal.Close()
	known, err := planned(o, kept.attachments)
	if err != nil {
		return err
	}
	plane, err := openDataplane(o.Config, o.Log)
	if err != nil {
		return err
	}
	defer plane.close(o.Log)
	driver, ok := plane.driver.(remover)
	if !ok {
		return fmt.Errorf("dataplane %s cannot be removed as a whole", o.Config.Dataplane)
	}
	if err := driver.RemoveAll(ctx, known); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(o.Config.StateDir), os.RemoveAll(o.Config.NetnsDir()), os.RemoveAll(o.Config.MemifDir()),
		os.RemoveAll(memifdir.Dir(o.Config.MemifDir()).Given()))
}

// planned is what the sandboxes of the journal should have; those on their way
// out may have it still.
func planned(o Options, attachments []model.Attachment) (desired.Set, error) {
	node, _, err := network(o.Config)
	if err != nil {
		return nil, err
	}
	all := desired.Set{}
	for _, att := range attachments {
		att.Leaving = false
		objects, err := node.Attachment(att)
		if err != nil {
			o.Log.Warn("cannot plan a sandbox of the journal", slog.String("sandbox", att.ID.String()), slog.Any("error", err))
		}
		all.Add(objects...)
	}
	return all, nil
}
