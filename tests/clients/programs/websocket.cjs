const { client: Client } = require('websocket');
const say = (what) => console.log(JSON.stringify(what));
const raised = process.env.RAISED ? { maxReceivedFrameSize: 2 ** 30, maxReceivedMessageSize: 2 ** 30 } : {};
const client = new Client(raised);
client.on('connectFailed', (error) => say({ error: error.message }));
client.on('connect', (socket) => {
  socket.on('message', (message) => say({ got: Buffer.byteLength(message.utf8Data) }));
  socket.on('close', (closed, why) => say({ closed, why }));
  socket.on('error', (error) => say({ error: error.message }));
  socket.sendUTF(process.env.START);
});
client.connect(process.env.URL, null, null, { authorization: 'Bearer ' + process.env.TOKEN });
