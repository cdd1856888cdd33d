package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const manifestFile = "../../deploy/kubernetes/semel.yaml"

// The parts of a manifest that may be there, and no others: what the test does not know, it
// cannot check.
type (
	manifest struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Type       string
		Metadata   struct {
			Name   string
			Labels map[string]string
		}
		Data       map[string]string
		StringData map[string]string `yaml:"stringData"`
		Spec       yaml.Node
	}
	deployment struct {
		Replicas int
		Selector labels
		Strategy any
		Template struct {
			Metadata struct{ Labels, Annotations map[string]string }
			Spec     pod
		}
	}
	labels struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	pod struct {
		Grace           int            `yaml:"terminationGracePeriodSeconds"`
		Token           *bool          `yaml:"automountServiceAccountToken"`
		SecurityContext map[string]any `yaml:"securityContext"`
		InitContainers  []container    `yaml:"initContainers"`
		Containers      []container
		Volumes         []struct {
			Name      string
			ConfigMap struct{ Name string } `yaml:"configMap"`
			Secret    struct {
				SecretName  string `yaml:"secretName"`
				DefaultMode int    `yaml:"defaultMode"`
				Items       []struct{ Key, Path string }
			}
		}
	}
	container struct {
		Name, Image   string
		RestartPolicy string `yaml:"restartPolicy"`
		Args          []string
		Env           []struct {
			Name, Value string
			ValueFrom   struct {
				SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
			} `yaml:"valueFrom"`
		}
		Ports []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		StartupProbe    probe `yaml:"startupProbe"`
		ReadinessProbe  probe `yaml:"readinessProbe"`
		LivenessProbe   probe `yaml:"livenessProbe"`
		Resources       any
		SecurityContext struct {
			Escalation   *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRoot bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities struct{ Drop []string }
		} `yaml:"securityContext"`
		Lifecycle struct {
			PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
		}
		VolumeMounts []struct {
			Name     string
			Path     string `yaml:"mountPath"`
			ReadOnly bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	probe struct {
		HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
		PeriodSeconds    int                         `yaml:"periodSeconds"`
		TimeoutSeconds   int                         `yaml:"timeoutSeconds"`
		FailureThreshold int                         `yaml:"failureThreshold"`
	}
	policy struct {
		PodSelector labels   `yaml:"podSelector"`
		PolicyTypes []string `yaml:"policyTypes"`
		Ingress     []struct {
			From  []any
			Ports []struct{ Protocol, Port string }
		}
	}
	service struct {
		Selector map[string]string
		Ports    []struct {
			Name       string
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
	}
)

// strict decodes and knows every field.
func strict(t *testing.T, text []byte, into any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

func readManifests(t *testing.T) map[string]manifest {
	t.Helper()
	file, err := os.Open(manifestFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	d := yaml.NewDecoder(file)
	d.KnownFields(true)
	all := map[string]manifest{}
	for {
		var m manifest
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.APIVersion == "" || m.Metadata.Name == "" || all[m.Kind].Kind != "" {
			t.Fatalf("%s %s: want a version, a name, and each kind once", m.Kind, m.Metadata.Name)
		}
		all[m.Kind] = m
	}
}

func (m manifest) spec(t *testing.T, into any) {
	t.Helper()
	text, err := yaml.Marshal(&m.Spec)
	if err != nil {
		t.Fatal(err)
	}
	strict(t, text, into)
}

// TestKubernetes: the manifests fit one another and the command: its settings, its flags, the
// paths that it serves, the time that a drain takes.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	all := readManifests(t)
	var d deployment
	all["Deployment"].spec(t, &d)
	spec := d.Template.Spec
	if len(spec.InitContainers) != 1 || spec.InitContainers[0].RestartPolicy != "Always" {
		t.Fatal("want one native sidecar")
	}
	side := spec.InitContainers[0]

	dir := t.TempDir()
	files := map[string]string{}
	for _, v := range spec.Volumes {
		for _, m := range side.VolumeMounts {
			if m.Name != v.Name {
				continue
			}
			if v.ConfigMap.Name == all["ConfigMap"].Metadata.Name {
				for name, text := range all["ConfigMap"].Data {
					files[m.Path+"/"+name] = text
				}
			}
			if v.Secret.SecretName == all["Secret"].Metadata.Name {
				for _, item := range v.Secret.Items {
					files[m.Path+"/"+item.Path] = all["Secret"].StringData[item.Key]
				}
			}
		}
	}
	inDir := func(text string) string { return strings.ReplaceAll(text, "/etc/semel", dir+"/etc/semel") }
	for path, text := range files {
		if text == "" {
			t.Errorf("%s is empty", path)
		}
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(inDir(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if side.Args[0] != "proxy" {
		t.Fatalf("got args %q, want those of semel proxy", side.Args)
	}
	args := append([]string{"config", "print", "--output", "json", "--store", all["Secret"].StringData["store"]}, side.Args[1:]...)
	for i := range args {
		args[i] = inDir(args[i])
	}
	checked := append([]string{"config", "check"}, args[4:]...)
	runSemel(t, 0, checked...)
	checkTimes(t, spec, runSemel(t, 0, args...))
	checkProbes(t, side)
	checkPrivileges(t, spec)

	var s service
	all["Service"].spec(t, &s)
	var p policy
	all["NetworkPolicy"].spec(t, &p)
	if s.Selector["app"] != d.Template.Metadata.Labels["app"] || p.PodSelector.MatchLabels["app"] != d.Template.Metadata.Labels["app"] ||
		d.Selector.MatchLabels["app"] != d.Template.Metadata.Labels["app"] {
		t.Error("the selectors do not find the pods")
	}
	if len(s.Ports) != 1 || s.Ports[0].TargetPort != side.Ports[0].Name {
		t.Errorf("got ports %+v, want that of the sidecar and not that of the admin listener", s.Ports)
	}
	for _, rule := range p.Ingress {
		for _, port := range rule.Ports {
			if port.Port == "semel-admin" && len(rule.From) == 0 {
				t.Error("everybody reaches the admin listener")
			}
		}
	}
}

// settings reads what config print has written.
func settings(t *testing.T, printed string) map[string]string {
	t.Helper()
	var out struct {
		Settings []struct {
			Name   string
			Values []string
		}
	}
	if err := json.Unmarshal([]byte(printed), &out); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, s := range out.Settings {
		all[s.Name] = strings.Join(s.Values, ",")
	}
	return all
}

func checkTimes(t *testing.T, spec pod, printed string) {
	t.Helper()
	set := settings(t, printed)
	duration := func(name string) time.Duration {
		d, err := time.ParseDuration(set[name])
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	app := spec.Containers[0]
	needed := time.Duration(app.Lifecycle.PreStop.Sleep.Seconds)*time.Second + duration("upstream_timeout") + duration("drain") + 5*time.Second
	if got := time.Duration(spec.Grace) * time.Second; got < needed {
		t.Errorf("the pod has %v to end and needs %v", got, needed)
	}
	for name, want := range map[string]int{"listen": 0, "admin": 1} {
		port := strconv.Itoa(spec.InitContainers[0].Ports[want].ContainerPort)
		if addr := set[name]; !strings.HasSuffix(addr, ":"+port) {
			t.Errorf("%s is %s, and the manifest says port %s", name, addr, port)
		}
	}
	upstream := set["upstream"]
	if addr := "http://" + app.Env[0].Value; addr != upstream {
		t.Errorf("the service listens on %s, and the sidecar forwards to %s", addr, upstream)
	}
}

func checkProbes(t *testing.T, side container) {
	t.Helper()
	for want, probe := range map[string]probe{"/readyz": side.ReadinessProbe, "/livez": side.LivenessProbe} {
		if probe.HTTPGet.Path != want || probe.HTTPGet.Port != "semel-admin" || probe.PeriodSeconds == 0 {
			t.Errorf("got probe %+v, want one of %s on the admin listener", probe, want)
		}
	}
	if side.StartupProbe.HTTPGet.Path != "/livez" {
		t.Error("the start waits for the store: a pod could not start while it is down")
	}
	if side.ReadinessProbe.TimeoutSeconds <= 2 {
		t.Error("the probe gives up before /readyz, which waits 2 s for the store")
	}
}

func checkPrivileges(t *testing.T, spec pod) {
	t.Helper()
	if spec.SecurityContext["runAsNonRoot"] != true || spec.Token == nil || *spec.Token {
		t.Error("want no root and no token of the cluster")
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		s := c.SecurityContext
		if s.Escalation == nil || *s.Escalation || !s.ReadOnlyRoot || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s: want a read-only root and no privilege", c.Name)
		}
	}
}
