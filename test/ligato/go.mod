module github.com/polynic/polynic/test/ligato

go 1.26.0

require (
	github.com/gogo/protobuf v1.3.2
	github.com/ligato/cn-infra v2.1.0+incompatible
	github.com/ligato/vpp-agent v2.1.1+incompatible
	github.com/rogpeppe/go-internal v1.16.0
)

require (
	github.com/onsi/gomega v1.44.0 // indirect
	github.com/satori/go.uuid v1.2.1-0.20181028125025-b2ce2384e17b // indirect
	github.com/sirupsen/logrus v1.10.2 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	golang.org/x/tools v0.49.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
	google.golang.org/grpc v1.85.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	gopkg.in/check.v1 v1.0.0-20201130134442-10cb98267c6c // indirect
)
