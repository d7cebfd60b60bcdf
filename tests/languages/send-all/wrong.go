// send-all in Go, wrong: one write(2) of a socket that does not block, and its count is ignored.
package main

import (
	"log"
	"net"
	"os"
	"syscall"
)

func echo(client *net.TCPConn) {
	defer client.Close()
	raw, err := client.SyscallConn()
	if err != nil {
		return
	}
	buffer := make([]byte, 16384)
	for {
		received, err := client.Read(buffer)
		if err != nil {
			return
		}
		raw.Write(func(fd uintptr) bool {
			syscall.Write(int(fd), buffer[:received])
			return true
		})
	}
}

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		if client, err := listener.Accept(); err == nil {
			echo(client.(*net.TCPConn))
		}
	}
}
