// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package deploy_test holds the manifests of deploy/ to what they promise, with
// the code that reads them in a cluster: the API server's admission, kustomize
// and Helm. It is a module of its own, because these bring much along.
package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
)

// policy is a ValidatingAdmissionPolicy as the API server runs it.
type policy struct {
	admissionv1.ValidatingAdmissionPolicy
	validator validating.Validator
}

// loadPolicy reads the first policy of a file of deploy/base.
func loadPolicy(t testing.TB, file string) policy {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "base", file))
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var p policy
		if err := decoder.Decode(&p.ValidatingAdmissionPolicy); errors.Is(err, io.EOF) {
			t.Fatalf("%s holds no policy", file)
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Kind == "ValidatingAdmissionPolicy" {
			p.validator = compile(t, p.Spec)
			return p
		}
	}
}

// oldest is what the expressions may use: an API server of version 1.32, the
// oldest that the chart says it works with, takes new ones of the version before.
func oldest() *version.Version { return version.MajorMinor(1, 31) }

// compile does with a policy what the API server does with one that is new, so
// that expressions which it would refuse fail here.
func compile(t testing.TB, spec admissionv1.ValidatingAdmissionPolicySpec) validating.Validator {
	t.Helper()
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(oldest()))
	if err != nil {
		t.Fatal(err)
	}
	options := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	mode := environment.NewExpressions
	for _, v := range spec.Variables {
		result := compiler.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression}, options, mode)
		if result.Error != nil {
			t.Fatalf("variable %s: %v", v.Name, result.Error)
		}
	}
	var conditions, checks, messages []cel.ExpressionAccessor
	for i := range spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&spec.MatchConditions[i]))
	}
	for _, v := range spec.Validations {
		checks = append(checks, &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason})
		var message cel.ExpressionAccessor
		if v.MessageExpression != "" {
			message = &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression}
		}
		messages = append(messages, message)
	}
	for _, e := range append(append(conditions[:len(conditions):len(conditions)], checks...), messages...) {
		if e == nil {
			continue
		}
		if result := compiler.CompileCELExpression(e, options, mode); result.Error != nil {
			t.Fatalf("%s: %v", e.GetExpression(), result.Error)
		}
	}
	matcher := matchconditions.NewMatcher(compiler.CompileCondition(conditions, options, mode), spec.FailurePolicy, "policy", "validate", "test")
	return validating.NewValidator(
		compiler.CompileCondition(checks, options, mode), matcher, compiler.CompileCondition(nil, options, mode),
		compiler.CompileCondition(messages, cel.OptionalVariableDeclarations{}, mode), spec.FailurePolicy, nil)
}

// request is what somebody asks the API server for.
type request struct {
	object, before runtime.Object // before is nil where the object is new, and object where it goes
	kind           schema.GroupVersionKind
	subresource    string
	user           user.Info
}

// errPolicy is a policy that fails itself, which refuses also what is right.
var errPolicy = errors.New("the policy cannot be evaluated")

// judge gives the reasons for which the policy refuses the request.
func (p policy) judge(r request) error {
	resource := schema.GroupVersionResource{Version: r.kind.Version, Group: r.kind.Group, Resource: strings.ToLower(r.kind.Kind) + "s"}
	operation := admission.Create
	switch {
	case r.object == nil:
		operation = admission.Delete
	case r.before != nil:
		operation = admission.Update
	}
	if r.user == nil {
		r.user = &user.DefaultInfo{Name: "somebody"}
	}
	attributes := admission.NewAttributesRecord(r.object, r.before, r.kind, "default", "it", resource, r.subresource,
		operation, &metav1.CreateOptions{}, false, r.user)
	versioned := &admission.VersionedAttributes{
		Attributes: attributes, VersionedKind: r.kind, VersionedObject: r.object, VersionedOldObject: r.before,
	}
	result := p.validator.Validate(context.Background(), resource, versioned, nil, nil, celconfig.RuntimeCELCostBudget, nil)
	var errs []error
	for _, d := range result.Decisions {
		switch {
		case d.Evaluation == validating.EvalError:
			errs = append(errs, fmt.Errorf("%w: %s", errPolicy, d.Message))
		case d.Action == validating.ActionDeny:
			errs = append(errs, errors.New(d.Message))
		}
	}
	return errors.Join(errs...)
}
