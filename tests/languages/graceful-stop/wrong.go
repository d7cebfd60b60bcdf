// graceful-stop in Go, wrong: main returns when no more clients are accepted, and ends all goroutines.
package main

import (
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
)

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

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		<-signals
		listener.Close()
	}()
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go echo(client)
	}
}
