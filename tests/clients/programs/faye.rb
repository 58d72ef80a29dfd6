require 'json'
require 'eventmachine'
require 'faye/websocket'

$stdout.sync = true
EM.run do
  raised = ENV['RAISED'].empty? ? {} : { max_length: 2**30 }
  headers = { 'Authorization' => "Bearer #{ENV['TOKEN']}" }
  socket = Faye::WebSocket::Client.new(ENV['URL'], [], headers: headers, **raised)
  socket.on(:open) { socket.send(ENV['START']) }
  socket.on(:message) { |event| puts JSON.dump(got: event.data.bytesize) }
  socket.on(:error) { |event| puts JSON.dump(error: event.message) }
  socket.on(:close) { |event| puts JSON.dump(closed: event.code, why: event.reason); EM.stop }
end
