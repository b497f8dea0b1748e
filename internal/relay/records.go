// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/polynic/polynic/internal/relay/relayapi"
)

// recordVersion is that of a record's content. Fields may be added within a
// version, and a reader ignores those it does not know.
const recordVersion = 1

// Endings of file names; what else is in the folder is left alone.
const (
	recordSuffix    = ".port.json"
	temporarySuffix = ".new"
)

// records are what a worker leaves to the next: a file per attached port. They
// are renamed into place but not synced to disk, because no device survives
// what a sync would protect from.
type records struct{ dir string }

// record is one port, of one of the kinds. One of a memif has its secret.
type record struct {
	Version int                 `json:"version"`
	Port    *relayapi.TapPort   `json:"port,omitempty"`
	Memif   *relayapi.MemifPort `json:"memif,omitempty"`
}

func (r record) id() string {
	if r.Memif != nil {
		return r.Memif.ID
	}
	return r.Port.ID
}

func (r record) validate() error {
	switch {
	case r.Version != recordVersion:
		return fmt.Errorf("version %d, want %d", r.Version, recordVersion)
	case (r.Port == nil) == (r.Memif == nil):
		return errors.New("it is of no port, or of two")
	case r.Memif != nil:
		return r.Memif.Validate()
	default:
		return r.Port.Validate()
	}
}

func (r *records) path(id string) string {
	return filepath.Join(r.dir, base64.RawURLEncoding.EncodeToString([]byte(id))+recordSuffix)
}

func (r *records) put(port record) error {
	data, err := json.Marshal(port)
	if err != nil {
		return fmt.Errorf("port %s: record: %w", port.id(), err)
	}
	path := r.path(port.id())
	temporary := path + temporarySuffix
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return errors.Join(fmt.Errorf("port %s: record: %w", port.id(), err), r.removeFile(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("port %s: record: %w", port.id(), err)
	}
	return nil
}

// remove removes the port's record; a missing one is no error.
func (r *records) remove(id string) error { return r.removeFile(r.path(id)) }

func (r *records) removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// load reads all records. One that cannot be read is removed, and reported.
func (r *records) load() (ports []record, broken []error, err error) {
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("records: %w", err)
	}
	for _, file := range files {
		path := filepath.Join(r.dir, file.Name())
		if strings.HasSuffix(path, recordSuffix+temporarySuffix) { // from a worker killed in put
			broken = appendError(broken, r.removeFile(path))
		}
		name, ok := strings.CutSuffix(file.Name(), recordSuffix)
		if !ok {
			continue
		}
		port, err := readRecord(path, name)
		if err != nil {
			broken = append(broken, errors.Join(err, r.removeFile(path)))
			continue
		}
		ports = append(ports, port)
	}
	return ports, broken, nil
}

func appendError(errs []error, err error) []error {
	if err == nil {
		return errs
	}
	return append(errs, err)
}

func readRecord(path, name string) (record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return record{}, fmt.Errorf("record: %w", err)
	}
	port, err := parseRecord(data)
	if err == nil && base64.RawURLEncoding.EncodeToString([]byte(port.id())) != name {
		err = fmt.Errorf("it is of another port, %s", port.id())
	}
	if err != nil {
		return record{}, fmt.Errorf("record %s: %w", path, err)
	}
	return port, nil
}

func parseRecord(data []byte) (record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, err
	}
	return r, r.validate()
}
