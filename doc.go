// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package polynic is the root of the module and holds nothing but the rules of
// the repository, written as tests: how files begin and how long they are, which
// package may import which, what the CNI binary is made of. Each failure says
// what to do.
package polynic
