package main

import (
	"fmt"
	"net/http"
	"os"

	"golang.org/x/net/websocket"
)

func main() {
	config, _ := websocket.NewConfig(os.Getenv("URL"), "http://"+os.Getenv("HOST"))
	config.Header = http.Header{"Authorization": {"Bearer " + os.Getenv("TOKEN")}}
	socket, err := websocket.DialConfig(config)
	if err != nil {
		fmt.Printf("{\"error\":%q}\n", err.Error())
		return
	}
	if os.Getenv("RAISED") != "" {
		socket.MaxPayloadBytes = 1 << 30
	}
	websocket.Message.Send(socket, os.Getenv("START"))
	for {
		var frame string
		if err := websocket.Message.Receive(socket, &frame); err != nil {
			fmt.Printf("{\"closed\":null,\"why\":%q}\n", err.Error())
			return
		}
		fmt.Printf("{\"got\":%d}\n", len(frame))
	}
}
