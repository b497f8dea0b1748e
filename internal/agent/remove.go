// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// remover is a dataplane that can take away all that carries our mark.
type remover interface {
	RemoveAll(ctx context.Context) error
}

// Remove takes away everything that polynic made on the node: links, routes,
// rules, the nftables table, settings, and the agent's own state. The relay may
// run; an agent may not.
func Remove(ctx context.Context, o Options) error {
	kept, err := openJournal(o)
	if err != nil {
		return err
	}
	defer kept.journal.Close()
	plane, err := openDataplane(o.Config, o.Log)
	if err != nil {
		return err
	}
	defer plane.close(o.Log)
	driver, ok := plane.driver.(remover)
	if !ok {
		return fmt.Errorf("dataplane %s cannot be removed as a whole", o.Config.Dataplane)
	}
	if err := driver.RemoveAll(ctx); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(o.Config.StateDir), os.RemoveAll(o.Config.NetnsDir()), os.RemoveAll(o.Config.MemifDir()))
}
