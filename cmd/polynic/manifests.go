// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/polynic/polynic/internal/manifest"
)

// readManifests reads files of manifests; a folder stands for the manifests in
// it (*.yaml, *.yml, *.json), and - for the standard input. What can be read is
// returned beside the error.
func readManifests(paths []string, stdin io.Reader) ([]manifest.Document, error) {
	var documents []manifest.Document
	var errs []error
	for _, path := range paths {
		found, err := readManifest(path, stdin)
		documents = append(documents, found...)
		errs = append(errs, err)
	}
	return documents, errors.Join(append(errs, twice(documents))...)
}

func readManifest(path string, stdin io.Reader) ([]manifest.Document, error) {
	if path == "-" {
		return manifest.Read(stdin, "(standard input)")
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if !st.IsDir() {
		return readFile(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("manifests: %w", err)
	}
	var documents []manifest.Document
	var errs []error
	for _, entry := range entries {
		if !isManifest(entry) {
			continue
		}
		found, err := readFile(filepath.Join(path, entry.Name()))
		documents = append(documents, found...)
		errs = append(errs, err)
	}
	if len(documents) == 0 && errors.Join(errs...) == nil {
		return nil, fmt.Errorf("folder %s holds no manifest (*.yaml, *.yml, *.json)", path)
	}
	return documents, errors.Join(errs...)
}

func isManifest(entry fs.DirEntry) bool {
	return !entry.IsDir() && entry.Name()[0] != '.' &&
		slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(entry.Name()))
}

func readFile(path string) ([]manifest.Document, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	defer file.Close()
	return manifest.Read(file, path)
}

// twice complains about an object that more than one file declares.
func twice(documents []manifest.Document) error {
	first := map[string]manifest.Position{}
	var errs []error
	for _, d := range documents {
		name := objectName(d)
		if name == "" {
			continue
		}
		if at, ok := first[name]; ok {
			errs = append(errs, fmt.Errorf("%s: %s is declared twice, first at %s", d.Position, name, at))
			continue
		}
		first[name] = d.Position
	}
	return errors.Join(errs...)
}

// objectName is kind, namespace and name of what is served; empty for others.
func objectName(d manifest.Document) string {
	switch {
	case d.Pod != nil:
		return "pod " + d.Pod.Namespace + "/" + d.Pod.Name
	case d.ConfigMap != nil:
		return "configmap " + d.ConfigMap.Namespace + "/" + d.ConfigMap.Name
	case d.Service != nil:
		return "service " + d.Service.Namespace + "/" + d.Service.Name
	default:
		return ""
	}
}
