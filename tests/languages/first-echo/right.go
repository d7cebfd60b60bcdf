// first-echo in Go: one client after another, until each has sent FIN.
package main

import (
	"io"
	"log"
	"net"
	"os"
)

func echo(client net.Conn) error {
	defer client.Close()
	buffer := make([]byte, 4096)
	for {
		received, err := client.Read(buffer)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := client.Write(buffer[:received]); err != nil {
			return err
		}
	}
}

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			continue
		}
		if err := echo(client); err != nil {
			log.Print(err)
		}
	}
}
