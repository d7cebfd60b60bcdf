// graceful-stop in Go: a goroutine for each client, signals by a channel, and a grace period of 2 s.
package main

import (
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const grace = 2 * time.Second

func echo(client net.Conn) {
	defer client.Close()
	buffer := make([]byte, 4096)
	for {
		received, err := client.Read(buffer)
		if err != nil {
			return
		}
		if _, err := client.Write(buffer[:received]); err != nil {
			return
		}
	}
}

// accept returns when the listener is closed and all clients have gone.
func accept(listener net.Listener) {
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		clients.Add(1)
		go func() {
			defer clients.Done()
			echo(client)
		}()
	}
}

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		accept(listener)
		close(ended)
	}()
	<-signals
	listener.Close()
	select {
	case <-ended:
	case <-signals:
	case <-time.After(grace):
	}
}
