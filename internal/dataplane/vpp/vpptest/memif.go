// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"fmt"
	"maps"
	"math/bits"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/ethernet_types"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/memif"
)

// memifSocket is a socket of memifs.
type memifSocket struct {
	path     string
	users    int  // VPP may count below 0, see createMemif
	masters  bool // VPP listens on it
	listener *net.UnixListener
}

func (s *memifSocket) close() {
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
}

// memifIface is what an interface has that is a memif.
type memifIface struct {
	request   memif.MemifCreateV2
	connected bool
}

// VPP's defaults (memif/private.h).
const (
	defaultRing   = 1024
	defaultBuffer = 2048
)

func (w *world) addDelMemifSocket(q *memif.MemifSocketFilenameAddDelV2, r *memif.MemifSocketFilenameAddDelV2Reply) {
	r.SocketID = q.SocketID
	switch {
	case q.SocketID == 0:
		r.Retval = int32(api.INVALID_ARGUMENT)
	case !q.IsAdd:
		r.Retval = int32(w.deleteMemifSocket(q.SocketID))
	default:
		if q.SocketID == none {
			r.SocketID = 1
			for w.sockets[r.SocketID] != nil {
				r.SocketID++
			}
		}
		r.Retval = int32(w.addMemifSocket(r.SocketID, q.SocketFilename))
	}
}

func (w *world) addMemifSocket(id uint32, path string) api.VPPApiError {
	if path == "" {
		return api.INVALID_ARGUMENT
	}
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@") && !strings.HasPrefix(path, "abstract:") {
		path = filepath.Join(w.folder, path)
		if os.MkdirAll(filepath.Dir(path), 0o755) != nil {
			return api.SYSCALL_ERROR_1
		}
	}
	switch s, taken := w.sockets[id]; {
	case !taken:
		w.sockets[id] = &memifSocket{path: path}
	case s.path != path:
		return api.ENTRY_ALREADY_EXISTS
	}
	return ok
}

func (w *world) deleteMemifSocket(id uint32) api.VPPApiError {
	switch s, known := w.sockets[id]; {
	case !known:
		return api.INVALID_ARGUMENT
	case s.users > 0:
		return api.UNEXPECTED_INTF_STATE
	}
	delete(w.sockets, id)
	return ok
}

func (w *world) dumpMemifSockets(*memif.MemifSocketFilenameDump) []memif.MemifSocketFilenameDetails {
	var all []memif.MemifSocketFilenameDetails
	for _, id := range slices.Sorted(maps.Keys(w.sockets)) {
		all = append(all, memif.MemifSocketFilenameDetails{SocketID: id, SocketFilename: w.sockets[id].path})
	}
	return all
}

func (w *world) createMemif(q *memif.MemifCreateV2, r *memif.MemifCreateV2Reply) {
	if bits.OnesCount32(q.RingSize) > 1 {
		r.Retval = int32(api.INVALID_ARGUMENT)
		return
	}
	s, known := w.sockets[q.SocketID]
	if !known {
		r.Retval = int32(api.INVALID_ARGUMENT)
		return
	}
	master := q.Role == memif.MEMIF_ROLE_API_MASTER
	if s.users > 0 && (s.masters != master || w.memifOf(q.SocketID, q.ID) != nil) {
		r.Retval = int32(api.SUBIF_ALREADY_EXISTS)
		return
	}
	s.masters = master
	if master && s.users == 0 {
		if err := s.listen(); err != nil {
			// VPP counts down what it has not counted up, and does not listen
			// for the next memif, of which it thinks that it is not the first.
			s.users--
			r.Retval = int32(api.SYSCALL_ERROR_4)
			return
		}
	}
	s.users++
	mac := q.HwAddr
	if mac == (ethernet_types.MacAddress{}) {
		mac = ethernet_types.MacAddress{0x02, 0xfe, 0, 0, 0, byte(len(w.interfaces))}
	}
	i := w.create(fmt.Sprintf("memif%d/%d", q.SocketID, q.ID), "memif", mac)
	i.memif = &memifIface{request: *q}
	r.SwIfIndex = interface_types.InterfaceIndex(i.index)
}

// listen listens as VPP does: not where somebody else listens, nor where a file is
// that is no socket.
func (s *memifSocket) listen() error {
	if strings.HasPrefix(s.path, "@") || strings.HasPrefix(s.path, "abstract:") {
		return nil // nobody asks the server for it
	}
	if info, err := os.Stat(s.path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return fmt.Errorf("%s is no socket", s.path)
		}
		for _, network := range []string{"unix", "unixpacket"} {
			if listens(network, s.path) {
				return fmt.Errorf("somebody listens on %s", s.path)
			}
		}
		if err := os.Remove(s.path); err != nil {
			return fmt.Errorf("memif socket: %w", err)
		}
	}
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: s.path, Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("memif socket: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	s.listener = listener
	return nil
}

// memifOf is the memif with an id on a socket.
func (w *world) memifOf(socket, id uint32) *iface {
	for _, i := range w.interfaces {
		if i.memif != nil && i.memif.request.SocketID == socket && i.memif.request.ID == id {
			return i
		}
	}
	return nil
}

func (w *world) deleteMemif(q *memif.MemifDelete) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	if !known || i.memif == nil {
		return api.INVALID_SW_IF_INDEX
	}
	w.remove(i)
	s := w.sockets[i.memif.request.SocketID]
	if s.users--; s.users == 0 {
		s.close()
	}
	return ok
}

func (w *world) dumpMemifs(*memif.MemifDump) []memif.MemifDetails {
	var all []memif.MemifDetails
	for _, i := range w.sorted() {
		if i.memif == nil {
			continue
		}
		q := i.memif.request
		d := memif.MemifDetails{
			SwIfIndex: interface_types.InterfaceIndex(i.index), HwAddr: i.mac, ID: q.ID, Role: q.Role, Mode: q.Mode,
			SocketID: q.SocketID, Flags: i.flags(), IfName: i.name,
			ZeroCopy: q.Role == memif.MEMIF_ROLE_API_SLAVE && !q.NoZeroCopy,
			RingSize: 1, // what is in force: of one that nobody took up 2 to the power of 0
		}
		if i.memif.connected {
			d.RingSize, d.BufferSize = defaultRing, defaultBuffer
			if q.RingSize != 0 {
				d.RingSize = q.RingSize
			}
			if q.BufferSize != 0 {
				d.BufferSize = q.BufferSize
			}
		}
		all = append(all, d)
	}
	return all
}

// connect is what an application does that takes a memif up, or leaves it.
func (w *world) connect(i *iface, state LinkState) {
	i.memif.connected = state == Up
	i.link = i.admin && i.memif.connected
	w.changed(i)
}
