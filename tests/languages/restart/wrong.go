// restart in Go, wrong: SO_REUSEPORT, with which a second server gets the port of the first.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"syscall"
)

const reusePort = 15 // SO_REUSEPORT of socket(7), which package syscall does not have

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
	config := net.ListenConfig{Control: func(_, _ string, connection syscall.RawConn) error {
		return connection.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, reusePort, 1)
		})
	}}
	listener, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		if client, err := listener.Accept(); err == nil {
			echo(client)
		}
	}
}
