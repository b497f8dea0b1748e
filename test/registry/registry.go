// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package registry is a registry of container images for tests: images are put
// together from files of this machine, and served to a container runtime by the
// distribution specification's read side, whatever registry their names are of.
// So manifests can name the images that they always name.
package registry

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// The media types of the image specification.
const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// Registry serves images over HTTP.
type Registry struct {
	// URL is where, on loopback.
	URL string

	t     testing.TB
	mu    sync.Mutex
	blobs map[string][]byte // by digest
	tags  map[string]string // digests of manifests by full name
}

// Start starts a registry in the network namespace of the test; it ends with the
// test.
func Start(t testing.TB) *Registry {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Registry{
		t: t, URL: "http://" + listener.Addr().String(),
		blobs: map[string][]byte{}, tags: map[string]string{},
	}
	server := &http.Server{Handler: r.handler()}
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		done.Wait()
	})
	return r
}

// descriptor points at a blob.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// put keeps a blob.
func (r *Registry) put(kind string, data []byte) descriptor {
	d := descriptor{MediaType: kind, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(data)), Size: len(data)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[d.Digest] = data
	return d
}

// Add serves an image under its names, which are full ones:
// docker.io/library/nginx:latest.
func (r *Registry) Add(image Image, names ...string) {
	r.t.Helper()
	layer, err := image.layer()
	if err != nil {
		r.t.Fatal(err)
	}
	content := r.put(layerType, layer)
	config := r.putJSON(configType, map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{
			"Entrypoint": image.Entrypoint, "Cmd": image.Cmd, "Env": append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, image.Env...),
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{content.Digest}},
	})
	manifest := r.putJSON(manifestType, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []descriptor{content},
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		r.tags[name] = manifest.Digest
	}
}

func (r *Registry) putJSON(kind string, value any) descriptor {
	r.t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.put(kind, data)
}

func (r *Registry) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/{$}", func(http.ResponseWriter, *http.Request) {})
	// NAME/manifests/TAG, NAME/manifests/DIGEST, NAME/blobs/DIGEST; a name has
	// slashes. The registry that a mirror stands for is in the query.
	mux.HandleFunc("GET /v2/{path...}", func(w http.ResponseWriter, request *http.Request) {
		parts := strings.Split(request.PathValue("path"), "/")
		if len(parts) < 3 {
			http.NotFound(w, request)
			return
		}
		name, kind, reference := strings.Join(parts[:len(parts)-2], "/"), parts[len(parts)-2], parts[len(parts)-1]
		r.mu.Lock()
		if digest, ok := r.tags[request.URL.Query().Get("ns")+"/"+name+":"+reference]; ok {
			reference = digest
		}
		blob, ok := r.blobs[reference]
		r.mu.Unlock()
		if !ok {
			http.NotFound(w, request)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		if kind == "manifests" {
			w.Header().Set("Content-Type", manifestType)
		}
		w.Header().Set("Docker-Content-Digest", reference)
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
		_, _ = w.Write(blob)
	})
	return mux
}
