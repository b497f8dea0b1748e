// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/containernetworking/cni/pkg/utils"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

// parseRequest checks the environment of ADD and CHECK and gives it the pod
// path's form; the network's name comes from conf.
func parseRequest(r cniwire.Request, conf netConf) (attach.Request, error) {
	request := attach.Request{
		ID:        model.AttachmentID{ContainerID: r.ContainerID, IfName: r.IfName},
		NetnsPath: r.Netns,
		Network:   conf.Name,
	}
	if err := checkID(request.ID); err != nil {
		return request, err
	}
	if !strings.HasPrefix(r.Netns, "/") || strings.ContainsRune(r.Netns, 0) {
		return request, errorf(cniwire.CodeInvalidEnvironment, "CNI_NETNS %q: not an absolute path", r.Netns)
	}
	pod, err := parseArgs(r.Args)
	if err != nil {
		return request, errorf(cniwire.CodeInvalidEnvironment, "CNI_ARGS %q: %w", r.Args, err)
	}
	request.Pod = pod
	return request, nil
}

// parseDel is parseRequest for DEL, which has to go on whatever has become of
// everything but the id: what cannot be read is left out.
func parseDel(r cniwire.Request) (attach.Request, error) {
	request := attach.Request{
		ID:        model.AttachmentID{ContainerID: r.ContainerID, IfName: r.IfName},
		NetnsPath: r.Netns,
	}
	if pod, err := parseArgs(r.Args); err == nil {
		request.Pod = pod
	}
	if conf, err := cniwire.ParseNetConf(r.Stdin); err == nil {
		request.Network = conf.Name
	}
	return request, checkID(request.ID)
}

func checkID(id model.AttachmentID) error {
	if err := utils.ValidateContainerID(id.ContainerID); err != nil {
		return errorf(cniwire.CodeInvalidEnvironment, "CNI_CONTAINERID %q: %s", id.ContainerID, err.Msg)
	}
	if err := utils.ValidateInterfaceName(id.IfName); err != nil {
		return errorf(cniwire.CodeInvalidEnvironment, "CNI_IFNAME %q: %s", id.IfName, err.Msg)
	}
	if !utf8.ValidString(id.IfName) || strings.ContainsFunc(id.IfName, unicode.IsControl) {
		return errorf(cniwire.CodeInvalidEnvironment, "CNI_IFNAME %q: not printable", id.IfName)
	}
	return nil
}

// parseArgs reads CNI_ARGS, KEY=VALUE;KEY=VALUE, of which the last of equal
// keys counts. Keys that polynic does not know are an error unless
// IgnoreUnknown is true (CNI conventions, section "CNI_ARGS").
func parseArgs(args string) (model.PodRef, error) {
	var pod model.PodRef
	var unknown []string
	ignore := false
	for pair := range strings.SplitSeq(args, ";") {
		if pair == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		if !found {
			return pod, fmt.Errorf("%q is not KEY=VALUE", pair)
		}
		switch key {
		case "K8S_POD_NAMESPACE":
			pod.Namespace = value
		case "K8S_POD_NAME":
			pod.Name = value
		case "K8S_POD_UID":
			pod.UID = value
		case "K8S_POD_INFRA_CONTAINER_ID": // CNI_CONTAINERID says the same
		case "IgnoreUnknown":
			var err error
			if ignore, err = parseFlag(value); err != nil {
				return pod, fmt.Errorf("IgnoreUnknown: %w", err)
			}
		default:
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 && !ignore {
		return pod, fmt.Errorf("unknown keys %q (and no IgnoreUnknown=1)", unknown)
	}
	if (pod.Name == "") != (pod.Namespace == "") {
		return pod, fmt.Errorf("K8S_POD_NAMESPACE %q and K8S_POD_NAME %q: one without the other", pod.Namespace, pod.Name)
	}
	return pod, nil
}

func parseFlag(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	default:
		return false, fmt.Errorf("%q is neither true nor false", value)
	}
}
