// first-echo in Go, wrong: it takes lines for messages, and waits for the end of the last one.
package main

import (
	"bufio"
	"log"
	"net"
	"os"
)

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
		reader := bufio.NewReader(client)
		for {
			line, err := reader.ReadBytes('\n')
			if err != nil {
				break
			}
			client.Write(line)
		}
		client.Close()
	}
}
