// restart in Go: Listen sets SO_REUSEADDR before bind.
package main

import (
	"log"
	"net"
	"os"
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
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		if client, err := listener.Accept(); err == nil {
			echo(client)
		}
	}
}
