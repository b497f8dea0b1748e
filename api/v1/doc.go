// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package v1 has the kinds of the API group contivpp.io that polynic serves, as
// Contiv-VPP named them. Each kind has a file with its types, whose comments make
// the schema that the API server checks objects against, and a method Validate
// for those who have an object and no API server: it refuses what the schema
// refuses, with the path of the field.
//
// After a change: go generate ./api/v1 ./deploy/generate.
//
// +kubebuilder:object:generate=true
// +groupName=contivpp.io
package v1

//go:generate go tool -modfile=../../tools/go.mod controller-gen object:headerFile=header.go.txt paths=.
//go:generate go tool -modfile=../../tools/go.mod controller-gen crd:headerFile=header.yaml.txt paths=. output:crd:dir=../../deploy/base/crd
