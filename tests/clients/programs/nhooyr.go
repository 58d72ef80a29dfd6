package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"nhooyr.io/websocket"
)

func main() {
	ctx := context.Background()
	options := &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + os.Getenv("TOKEN")}}}
	socket, _, err := websocket.Dial(ctx, os.Getenv("URL"), options)
	if err != nil {
		fmt.Printf("{\"error\":%q}\n", err.Error())
		return
	}
	if os.Getenv("RAISED") != "" {
		socket.SetReadLimit(1 << 30)
	}
	socket.Write(ctx, websocket.MessageText, []byte(os.Getenv("START")))
	for {
		_, frame, err := socket.Read(ctx)
		if err != nil {
			fmt.Printf("{\"closed\":null,\"why\":%q}\n", err.Error())
			return
		}
		fmt.Printf("{\"got\":%d}\n", len(frame))
	}
}
