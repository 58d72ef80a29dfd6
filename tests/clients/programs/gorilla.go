package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

func main() {
	socket, _, err := websocket.DefaultDialer.Dial(os.Getenv("URL"), http.Header{"Authorization": {"Bearer " + os.Getenv("TOKEN")}})
	if err != nil {
		fmt.Printf("{\"error\":%q}\n", err.Error())
		return
	}
	socket.WriteMessage(websocket.TextMessage, []byte(os.Getenv("START")))
	for {
		_, frame, err := socket.ReadMessage()
		if err != nil {
			fmt.Printf("{\"closed\":null,\"why\":%q}\n", err.Error())
			return
		}
		fmt.Printf("{\"got\":%d}\n", len(frame))
	}
}
