// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// The values, as ligato's agents read them: a field that they do not know is an
// error.
type (
	vppInterface struct {
		Name        string         `json:"name"`
		Type        string         `json:"type"`
		Enabled     bool           `json:"enabled"`
		IPAddresses []netip.Prefix `json:"ip_addresses"`
		Memif       struct {
			Master         bool   `json:"master"`
			ID             uint32 `json:"id"`
			SocketFilename string `json:"socket_filename"`
			Secret         string `json:"secret"`
		} `json:"memif"`
	}
	vppARP struct {
		Interface   string     `json:"interface"`
		IPAddress   netip.Addr `json:"ip_address"`
		PhysAddress string     `json:"phys_address"`
		Static      bool       `json:"static"`
	}
	vppRoute struct {
		DstNetwork        netip.Prefix `json:"dst_network"`
		NextHopAddr       netip.Addr   `json:"next_hop_addr"`
		OutgoingInterface string       `json:"outgoing_interface"`
	}
)

// wanted is what the values below the prefix say of VPP.
type wanted struct {
	interfaces map[string]vppInterface
	// neighbors and routes are by interface.
	neighbors map[string]map[netip.Addr][6]byte
	routes    map[string][]vppRoute
}

// read reads all values; what cannot be read, or has the wrong key, is told and
// left out, as it is by ligato's agents.
func (a *agent) read(values map[string][]byte) wanted {
	w := wanted{
		interfaces: map[string]vppInterface{}, neighbors: map[string]map[netip.Addr][6]byte{}, routes: map[string][]vppRoute{},
	}
	for key, value := range values {
		path, ok := strings.CutPrefix(key, a.prefix)
		if !ok {
			continue
		}
		if err := a.take(&w, path, value); err != nil {
			a.sayOnce("%s: dropped: %v", path, err)
		}
	}
	return w
}

func (a *agent) take(w *wanted, path string, value []byte) error {
	switch {
	case strings.HasPrefix(path, "vpp/v2/interfaces/"):
		i, err := decode[vppInterface](value)
		if err == nil {
			err = a.checkKey(path, "vpp/v2/interfaces/"+i.Name)
		}
		if err == nil {
			w.interfaces[i.Name] = i
		}
		return err
	case strings.HasPrefix(path, "vpp/v2/arp/"):
		n, err := decode[vppARP](value)
		if err == nil {
			err = a.checkKey(path, "vpp/v2/arp/"+n.Interface+"/"+n.IPAddress.String())
		}
		if err != nil {
			return err
		}
		return w.neighbor(n)
	case strings.HasPrefix(path, "vpp/v2/route/"):
		r, err := decode[vppRoute](value)
		if err == nil {
			err = a.checkKey(path, "vpp/v2/route/vrf/0/dst/"+r.DstNetwork.String()+"/gw/"+r.NextHopAddr.String())
		}
		if err == nil {
			w.routes[r.OutgoingInterface] = append(w.routes[r.OutgoingInterface], r)
		}
		return err
	default:
		return nil // the kernel's, or of no model that VPP has
	}
}

func (w *wanted) neighbor(n vppARP) error {
	mac, err := net.ParseMAC(n.PhysAddress)
	if err != nil || len(mac) != 6 {
		return fmt.Errorf("%q is no MAC address", n.PhysAddress)
	}
	if w.neighbors[n.Interface] == nil {
		w.neighbors[n.Interface] = map[netip.Addr][6]byte{}
	}
	w.neighbors[n.Interface][n.IPAddress] = [6]byte(mac)
	return nil
}

func decode[T any](value []byte) (T, error) {
	var one T
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&one)
	return one, err
}

// checkKey refuses a key that is not the one that release 2.1.1 would have
// chosen, unless this is release 3.
func (a *agent) checkKey(found, own string) error {
	if found == own || a.like == likeV3 {
		return nil
	}
	return fmt.Errorf("release 2.1.1 would have chosen the key %s", own)
}
