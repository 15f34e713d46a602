// A kubelet device plugin whose devices are names only; tests/cluster/device_plugin.py builds and starts it.
//
// It registers nvidia.com/gpu with the kubelet of the machine that it runs on. Its directory says what it does, read
// anew at every call and every half second: while the file `refuse` is there, Allocate fails, and the kubelet rejects
// the pod (UnexpectedAdmissionError); while `unhealthy` is there, no device is healthy, and the node offers none.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	resource = "nvidia.com/gpu"
	socket   = "batch-operator-test.sock"
)

type plugin struct {
	api.UnimplementedDevicePluginServer
	directory string
	count     int
}

func (p *plugin) there(name string) bool {
	_, err := os.Stat(filepath.Join(p.directory, name))
	return err == nil
}

func (p *plugin) devices() []*api.Device {
	health := api.Healthy
	if p.there("unhealthy") {
		health = api.Unhealthy
	}
	found := make([]*api.Device, p.count)
	for i := range found {
		found[i] = &api.Device{ID: fmt.Sprintf("gpu-%d", i), Health: health}
	}
	return found
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	said := ""
	for stream.Context().Err() == nil {
		if devices := p.devices(); said != devices[0].Health {
			said = devices[0].Health
			log.Printf("%d devices, %s", len(devices), said)
			if err := stream.Send(&api.ListAndWatchResponse{Devices: devices}); err != nil {
				return err
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	return nil
}

func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	if p.there("refuse") {
		log.Print("Allocate: refused")
		return nil, errors.New("the device does not answer")
	}
	answer := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		log.Printf("Allocate: %v", container.DevicesIds)
		answer.ContainerResponses = append(answer.ContainerResponses, &api.ContainerAllocateResponse{})
	}
	return answer, nil
}

func (p *plugin) serve() error {
	path := filepath.Join(api.DevicePluginPath, socket)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if err := register(); err != nil {
		return err
	}
	log.Printf("registered %s", resource)
	return <-ended
}

func register() error {
	connection, err := grpc.NewClient("unix://"+api.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource}
	_, err = api.NewRegistrationClient(connection).Register(ctx, request)
	return err
}

func main() {
	count := flag.Int("count", 4, "number of devices")
	directory := flag.String("directory", "", "where the files refuse and unhealthy may lie")
	flag.Parse()
	if err := (&plugin{directory: *directory, count: *count}).serve(); err != nil {
		log.Fatal(err)
	}
}
