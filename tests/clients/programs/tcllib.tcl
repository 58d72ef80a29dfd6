package require websocket

proc said {socket kind data} {
    switch -- $kind {
        connect { ::websocket::send $socket text $::env(START) }
        text    { puts "{\"got\":[string bytelength $data]}"; flush stdout }
        close   { puts "{\"closed\":[lindex $data 0],\"why\":\"[lindex $data 1]\"}"; flush stdout; exit }
        disconnect { puts "{\"closed\":null,\"why\":\"disconnect\"}"; flush stdout; exit }
        error   { puts "{\"error\":\"$data\"}"; flush stdout }
    }
}
::websocket::open $::env(URL) said -headers [list Authorization "Bearer $::env(TOKEN)"]
vwait forever
