// Localkube is the control plane of the cluster tests: etcd, kube-apiserver,
// kube-controller-manager, kube-proxy and kubectl in one binary, so that one
// link and one cached file serve them all. The command is chosen by the name
// the binary is called by, or by the first argument.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kcm "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args
	if name == "localkube" && len(args) > 1 {
		name, args = args[1], args[1:]
	}
	os.Args = args
	var command *cobra.Command
	switch name {
	case "etcd":
		etcdmain.Main(args)
		return
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = kcm.NewControllerManagerCommand()
	case "kube-proxy":
		command = proxy.NewProxyCommand()
	case "kubectl":
		command = kubectl.NewDefaultKubectlCommand()
	default:
		fmt.Fprintln(os.Stderr, "usage: localkube etcd|kube-apiserver|kube-controller-manager|kube-proxy|kubectl [flags]")
		os.Exit(2)
	}
	os.Exit(cli.Run(command))
}
