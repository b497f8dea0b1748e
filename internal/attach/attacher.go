// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inventory"
	"github.com/polynic/polynic/internal/ipam"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// Journal remembers attachments over a restart.
type Journal interface {
	Put(a model.Attachment) error
	Delete(id model.AttachmentID) error
}

// Reconciler makes the dataplane as planned.
type Reconciler interface {
	Set(owner desired.Owner, objects []desired.Object)
	Apply(ctx context.Context, owner desired.Owner, objects []desired.Object) error
	Forget(owner desired.Owner, have []desired.Object)
	Check(ctx context.Context, owner desired.Owner) ([]desired.Change, error)
	Away() (since time.Time, reason error)
}

// PodReader reads a pod from its source, past whatever is cached.
type PodReader interface {
	Get(ctx context.Context, ref model.PodRef) (model.Pod, bool, error)
}

// Config is what the pod path is made of.
type Config struct {
	Log        *slog.Logger
	Node       plan.Node
	MainType   podif.Type // of the interface that the runtime asks for
	MTU        int        // of new interfaces, in bytes
	TapQueues  int        // queue pairs of new taps and of memifs' twins
	Memif      MemifConfig
	Inventory  *inventory.Inventory
	Pods       PodReader
	Journal    Journal
	Addresses  *ipam.Allocator // used by nobody else
	Reconciler Reconciler
	// AwayLimit is how long the dataplane may be away before Status says so.
	AwayLimit time.Duration
	// Publisher is nil where there is no etcd.
	Publisher Publisher
	// NoServices says that no services are resolved here.
	NoServices bool
	// Warner is nil where nobody hears of warnings but the log.
	Warner Warner
}

// Attacher serves the CNI verbs. All methods may be called concurrently; those
// about one container are made one after another.
type Attacher struct {
	config Config
	turns  *turns
	recent recentlyDeleted

	// mu guards config.Addresses, held and remembered, and keeps what is journaled and what is
	// in the inventory the same.
	mu sync.Mutex
	// held are the addresses of sandboxes that are no attachments and have links
	// still; Gone frees them.
	held map[model.AttachmentID][]netip.Addr
	// remembered are pods of the journal, for as long as the source has not told of
	// all there are.
	remembered map[model.PodRef]model.Pod
}

// New makes the pod path. Restore comes before any verb.
func New(config Config) *Attacher {
	return &Attacher{
		config: config, turns: newTurns(),
		held: map[model.AttachmentID][]netip.Addr{}, remembered: map[model.PodRef]model.Pod{},
	}
}

// maxRecent bounds the memory of recentlyDeleted: far more sandboxes than a
// node deletes while one late request is on its way.
const maxRecent = 4096

// recentlyDeleted remembers container ids that a DEL was seen for, so that an
// ADD that was overtaken by it is refused. Kubernetes never uses an id again.
type recentlyDeleted struct {
	mu   sync.Mutex
	ids  map[string]bool
	ring [maxRecent]string
	next int
}

func (r *recentlyDeleted) add(containerID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]bool{}
	}
	if r.ids[containerID] {
		return
	}
	delete(r.ids, r.ring[r.next])
	r.ring[r.next] = containerID
	r.next = (r.next + 1) % maxRecent
	r.ids[containerID] = true
}

func (r *recentlyDeleted) has(containerID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[containerID]
}
